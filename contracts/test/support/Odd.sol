// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @dev A token of any decimals whose holders' balances can shrink, as in a rebase.
contract SizedCoin is ERC20("Sized", "SIZE") {
    uint8 private immutable _SIZE;

    constructor(uint8 size) {
        _SIZE = size;
    }

    function decimals() public view override returns (uint8) {
        return _SIZE;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function shrink(address account, uint256 amount) external {
        _burn(account, amount);
    }
}

/// @dev Keeps one unit of every transfer.
contract FeeCoin is SizedCoin(6) {
    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0) && amount != 0) super._update(to, address(0), 1);
    }
}

/// @dev Says no instead of reverting.
contract FalseCoin is SizedCoin(6) {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @dev Says nothing, like the oldest dollar; six decimals.
contract SilentCoin {
    uint8 public constant decimals = 6;
    mapping(address account => uint256) public balanceOf;
    mapping(address account => mapping(address spender => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Asks somebody before and after each move, as ERC-777 does.
contract HookedCoin is SizedCoin(6) {
    address public hook;
    bytes public call;
    uint256 public refused;

    function setHook(address to, bytes calldata data) external {
        hook = to;
        call = data;
    }

    function _update(address from, address to, uint256 amount) internal override {
        _ask();
        super._update(from, to, amount);
        _ask();
    }

    function _ask() private {
        if (hook == address(0)) return;
        (bool done,) = hook.call(call);
        if (!done) ++refused;
    }
}
