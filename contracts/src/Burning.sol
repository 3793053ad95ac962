// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @dev What a token that can be burned offers.
interface IBurnable {
    function burn(uint256 amount) external;
}

/// @title Takes tokens out of the world, also tokens that know no burning.
library Burning {
    using SafeERC20 for IERC20;

    /// @dev Where what cannot be burned goes.
    address internal constant NOWHERE = 0x000000000000000000000000000000000000dEaD;

    /// @dev More than a transfer needs, and far more than a burn that ran out of gas leaves.
    uint256 internal constant GAS_FOR_TRANSFER = 60_000;

    error Burning_GasTooLow(uint256 left, uint256 needed);

    /// @notice Burns the caller's own `amount` token units, or sends them where nobody is.
    function burn(IERC20 token, uint256 amount) internal {
        if (amount == 0) return;
        try IBurnable(address(token)).burn(amount) {}
        catch {
            // Else a burn for which there was not enough gas would count as one that the token does not know.
            if (gasleft() < GAS_FOR_TRANSFER) revert Burning_GasTooLow(gasleft(), GAS_FOR_TRANSFER);
            token.safeTransfer(NOWHERE, amount);
        }
    }
}
