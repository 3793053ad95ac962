// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title What the network owns together, and what votes give away of it.
/// @notice Of each asset at most CAP_BPS of what was there when the running period began leave within PERIOD_SECONDS, in however many
/// grants: a vote that nobody noticed costs that and no more.
contract Treasury {
    using SafeERC20 for IERC20;

    /// @param since unix time in seconds of the period's first grant
    /// @param cap units that the period's grants can add up to
    /// @param granted units that they added up to
    struct Period {
        uint64 since;
        uint256 cap;
        uint256 granted;
    }

    /// @notice The most of an asset that leaves in one period, in basis points of what was there when it began.
    uint256 public constant CAP_BPS = 500;

    /// @notice How long a period lasts from its first grant. The next one begins with the first grant after it.
    uint256 public constant PERIOD_SECONDS = 30 days;

    /// @notice The only account that may grant.
    address public immutable AUTHORITY;

    /// @notice The newest period of each asset.
    mapping(IERC20 asset => Period) public periods;

    event Granted(IERC20 indexed asset, address indexed to, uint256 amount, string reason);

    error Treasury_NotAuthority(address sender, address authority);
    error Treasury_AboveCap(uint256 amount, uint256 left);

    /// @param authority see AUTHORITY
    constructor(address authority) {
        AUTHORITY = authority;
    }

    /// @notice Gives `amount` units of an asset to `to`.
    /// @param reason what for, for people
    function grant(IERC20 asset, address to, uint256 amount, string calldata reason) external {
        if (msg.sender != AUTHORITY) revert Treasury_NotAuthority(msg.sender, AUTHORITY);
        Period storage p = periods[asset];
        if (_over(p)) {
            p.since = uint64(block.timestamp);
            p.cap = _capNow(asset);
            p.granted = 0;
        }
        uint256 left = p.cap - p.granted;
        if (amount > left) revert Treasury_AboveCap(amount, left);
        p.granted += amount;
        emit Granted(asset, to, amount, reason);
        asset.safeTransfer(to, amount);
    }

    /// @notice The most that a grant of this asset can give now.
    function grantable(IERC20 asset) external view returns (uint256) {
        Period storage p = periods[asset];
        return _over(p) ? _capNow(asset) : p.cap - p.granted;
    }

    function _over(Period storage p) private view returns (bool) {
        return p.since == 0 || block.timestamp >= p.since + PERIOD_SECONDS;
    }

    function _capNow(IERC20 asset) private view returns (uint256 down) {
        return asset.balanceOf(address(this)) * CAP_BPS / 10_000;
    }
}
