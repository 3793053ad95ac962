// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";

/// @title The network's token: a vote, a bond and a reward.
/// @notice Its supply never exceeds CAP. After the genesis allocation only MINTER, fixed for ever, can add to it.
contract Token is ERC20, ERC20Permit, ERC20Votes {
    /// @notice The most token units that can exist; fits uint128, as every total in Settlement does.
    uint256 public immutable CAP;

    /// @notice The only account that may mint.
    address public immutable MINTER;

    error Token_CapTooLarge(uint256 cap, uint256 largest);
    error Token_LengthsDiffer(uint256 holders, uint256 amounts);
    error Token_NotMinter(address sender, address minter);
    error Token_AboveCap(uint256 amount, uint256 left);

    /// @param cap token units, at most 2^128 - 1
    /// @param holders receive the genesis allocation, `amounts` in token units, within the cap
    constructor(
        string memory name,
        string memory symbol,
        uint256 cap,
        address minter,
        address[] memory holders,
        uint256[] memory amounts
    ) ERC20(name, symbol) ERC20Permit(name) {
        if (cap > type(uint128).max) revert Token_CapTooLarge(cap, type(uint128).max);
        if (holders.length != amounts.length) revert Token_LengthsDiffer(holders.length, amounts.length);
        CAP = cap;
        MINTER = minter;
        for (uint256 i = 0; i < holders.length; ++i) {
            _mintWithin(cap, holders[i], amounts[i]);
        }
    }

    /// @notice Adds `amount` token units to the supply and gives them to `to`.
    function mint(address to, uint256 amount) external {
        if (msg.sender != MINTER) revert Token_NotMinter(msg.sender, MINTER);
        _mintWithin(CAP, to, amount);
    }

    /// @notice Takes `amount` token units of the caller out of the supply; the cap stays, the schedule does not grow.
    function burn(uint256 amount) external {
        _burn(msg.sender, amount);
    }

    /// @notice Votes are counted by unix time, which means the same on every chain.
    function clock() public view override returns (uint48) {
        return uint48(block.timestamp);
    }

    /// @notice How ERC-6372 names that clock.
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @notice The number that the owner's next permit or delegation by signature must carry.
    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function _mintWithin(uint256 cap, address to, uint256 amount) private {
        uint256 left = cap - totalSupply();
        if (amount > left) revert Token_AboveCap(amount, left);
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override(ERC20, ERC20Votes) {
        super._update(from, to, amount);
    }
}
