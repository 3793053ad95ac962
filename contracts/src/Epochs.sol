// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title The one division of time into epochs that all contracts share.
library Epochs {
    /// @notice The epoch that is running now; 0 also before `genesis`.
    function current(uint64 genesis, uint32 epochSeconds) internal view returns (uint32) {
        return block.timestamp < genesis ? 0 : SafeCast.toUint32((block.timestamp - genesis) / epochSeconds);
    }

    /// @notice The unix time in seconds at which `epoch` begins.
    function startOf(uint256 epoch, uint64 genesis, uint32 epochSeconds) internal pure returns (uint256) {
        return genesis + epoch * epochSeconds;
    }
}
