// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev A stablecoin whose issuer can freeze accounts.
contract Coin is ERC20("Coin", "USD") {
    mapping(address account => bool) public frozen;

    error Coin_Frozen(address account);

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function freeze(address account) external {
        frozen[account] = true;
    }

    function thaw(address account) external {
        frozen[account] = false;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (frozen[to]) revert Coin_Frozen(to);
        super._update(from, to, amount);
    }
}
