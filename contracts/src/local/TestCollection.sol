// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// @title A collection that was there before the network, for networks without real things.
/// @notice Its tokens are numbered from 1. Nobody can mint or burn.
contract TestCollection is ERC721 {
    /// @param owners of the tokens 1, 2, 3 …
    constructor(address[] memory owners) ERC721("Test Devices", "TDEV") {
        for (uint256 i = 0; i < owners.length; ++i) {
            _mint(owners[i], i + 1);
        }
    }
}
