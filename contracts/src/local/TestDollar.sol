// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A stablecoin for networks without real money.
/// @notice Everything there ever is of it exists from its first block. Nobody can mint, freeze or burn.
contract TestDollar is ERC20 {
    error TestDollar_LengthsDiffer(uint256 holders, uint256 amounts);

    /// @param holders receive `amounts` in units of a millionth
    constructor(address[] memory holders, uint256[] memory amounts) ERC20("Test Dollar", "TUSD") {
        if (holders.length != amounts.length) revert TestDollar_LengthsDiffer(holders.length, amounts.length);
        for (uint256 i = 0; i < holders.length; ++i) {
            _mint(holders[i], amounts[i]);
        }
    }

    /// @notice Six, like the stablecoins it stands for.
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
