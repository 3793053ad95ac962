// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

// Compiled with ours so that deployments take it from the same build: the authority of Minter and Settlement.
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
