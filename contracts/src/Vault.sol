// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Epochs} from "./Epochs.sol";
import {Succession} from "./Succession.sol";
import {IBudget} from "./interfaces/IBudget.sol";
import {IPausable} from "./interfaces/IPausable.sol";

/// @title A budget out of a token that already exists.
/// @notice Whoever wants a network to pay sends tokens here; they leave it only as pay for epochs, by the schedule. When it holds less than
/// a range of epochs earned, that range waits until somebody fills it up: nothing is lost. Nobody can take anything back.
/// The token must move exactly what it says: one that takes a fee on the way pays nothing out.
contract Vault is IBudget, IPausable, Succession {
    using SafeERC20 for IERC20;

    /// @param genesis unix time in seconds at which epoch 0 begins
    /// @param epochsPerPeriod length of a period of constant budget
    /// @param budgetPerEpoch token units for an epoch of each period; 0 after the last period
    struct Schedule {
        uint64 genesis;
        uint32 epochSeconds;
        uint32 epochsPerPeriod;
        uint128[] budgetPerEpoch;
    }

    /// @notice The sum of all pool weights, in basis points.
    uint256 public constant WEIGHTS_SUM_BPS = 10_000;

    /// @notice The most that one change can move one pool's weight, in basis points.
    uint256 public constant MAX_WEIGHT_STEP_BPS = 2_000;

    /// @notice The most pools there can be.
    uint256 public constant MAX_POOLS = 16;

    /// @notice How long a pause lasts.
    uint256 public constant PAUSE_SECONDS = 7 days;

    /// @notice How long after a pause begins there is no other.
    uint256 public constant PAUSE_EVERY_SECONDS = 30 days;

    IERC20 public immutable TOKEN;
    address public immutable AUTHORITY;

    /// @notice The only account that may pause; address(0) for nobody.
    address public immutable GUARDIAN;
    uint64 public immutable GENESIS;
    uint32 public immutable EPOCH_SECONDS;
    uint32 public immutable EPOCHS_PER_PERIOD;

    /// @notice The first epoch that nothing was paid for yet; every earlier one is closed.
    uint64 public nextEpoch;

    /// @notice Token units paid out, ever.
    uint256 public paidOut;

    /// @notice The epoch from which the newest pool weights act.
    uint32 public weightsFrom;

    /// @notice Unix time in seconds until which nothing is paid out. What waits can be paid afterwards.
    uint64 public pausedUntil;

    uint128[] private _budgetPerEpoch;
    bytes32[] private _pools;
    uint16[] private _weightsBps;

    event ScheduleSet(uint64 genesis, uint32 epochSeconds, uint32 epochsPerPeriod, uint128[] budgetPerEpoch);
    event WeightsSet(uint32 fromEpoch, bytes32[] pools, uint16[] weightsBps);
    event Paused(uint64 until);
    event PaidOut(uint32 first, uint32 last, uint256 amount);

    error Vault_EmptyClock(uint32 epochSeconds, uint32 epochsPerPeriod);
    error Vault_NotSettlement(address sender, address settlement);
    error Vault_NotGuardian(address sender, address guardian);
    error Vault_NotAuthority(address sender, address authority);
    error Vault_PausedTooOften(uint256 time, uint256 earliest);
    error Vault_Paused(uint256 time, uint64 until);
    error Vault_RangeBackwards(uint32 first, uint32 last);
    error Vault_AlreadyPaid(uint32 first, uint64 nextEpoch);
    error Vault_AboveBudget(uint256 amount, uint256 budget);
    error Vault_Delivered(uint256 delivered, uint256 amount);
    error Vault_TooLate(uint32 fromEpoch, uint32 earliest);
    error Vault_PoolCount(uint256 pools, uint256 weights, uint256 most);
    error Vault_PoolTwice(bytes32 pool);
    error Vault_WeightsSum(uint256 sumBps, uint256 wantedBps);
    error Vault_StepTooLarge(bytes32 pool, uint256 fromBps, uint256 toBps, uint256 stepBps);

    /// @param settlement_ the only account that is paid, until another one takes over
    /// @param authority the only account that may move the pool weights and announce another settlement
    /// @param guardian may pause for a while
    /// @param replaceSeconds how long such an announcement waits
    /// @param pools names of the pools; `weightsBps` their shares of every epoch's budget, from epoch 0
    constructor(
        IERC20 token,
        address settlement_,
        address authority,
        address guardian,
        uint64 replaceSeconds,
        Schedule memory schedule,
        bytes32[] memory pools,
        uint16[] memory weightsBps
    ) Succession(settlement_, replaceSeconds) {
        if (schedule.epochSeconds == 0 || schedule.epochsPerPeriod == 0) {
            revert Vault_EmptyClock(schedule.epochSeconds, schedule.epochsPerPeriod);
        }
        _requireWhole(pools, weightsBps);
        TOKEN = token;
        AUTHORITY = authority;
        GUARDIAN = guardian;
        GENESIS = schedule.genesis;
        EPOCH_SECONDS = schedule.epochSeconds;
        EPOCHS_PER_PERIOD = schedule.epochsPerPeriod;
        _budgetPerEpoch = schedule.budgetPerEpoch;
        emit ScheduleSet(schedule.genesis, schedule.epochSeconds, schedule.epochsPerPeriod, schedule.budgetPerEpoch);
        _store(0, pools, weightsBps);
    }

    /// @notice The schedule's token units for the epochs `first` to `last`, both included.
    function scheduled(uint32 first, uint32 last) public view returns (uint256 sum) {
        uint256 end = uint256(last) + 1;
        uint256 periods = _budgetPerEpoch.length;
        for (uint256 period = first / EPOCHS_PER_PERIOD; period < periods; ++period) {
            uint256 from = Math.max(first, period * EPOCHS_PER_PERIOD);
            uint256 to = Math.min(end, (period + 1) * EPOCHS_PER_PERIOD);
            if (to <= from) break;
            sum += (to - from) * _budgetPerEpoch[period];
        }
    }

    /// @inheritdoc IBudget
    /// @dev The lesser of what is scheduled and what is here; 0 for epochs that are closed. Tokens only leave for a later range, so
    /// what is promised here stays here.
    function budget(uint32 first, uint32 last) public view returns (uint256 down) {
        return first < nextEpoch ? 0 : Math.min(scheduled(first, last), TOKEN.balanceOf(address(this)));
    }

    /// @inheritdoc IBudget
    /// @dev For an amount of 0 nothing happens, and the epochs stay open.
    function mint(uint32 first, uint32 last, uint256 amount) external {
        if (msg.sender != _current) revert Vault_NotSettlement(msg.sender, _current);
        if (first > last) revert Vault_RangeBackwards(first, last);
        if (first < nextEpoch) revert Vault_AlreadyPaid(first, nextEpoch);
        if (amount == 0) return;
        if (block.timestamp < pausedUntil) revert Vault_Paused(block.timestamp, pausedUntil);
        uint256 most = budget(first, last);
        if (amount > most) revert Vault_AboveBudget(amount, most);

        nextEpoch = uint64(last) + 1;
        paidOut += amount;
        emit PaidOut(first, last, amount);
        uint256 before = TOKEN.balanceOf(msg.sender);
        TOKEN.safeTransfer(msg.sender, amount);
        uint256 delivered = TOKEN.balanceOf(msg.sender) - before;
        if (delivered != amount) revert Vault_Delivered(delivered, amount);
    }

    /// @inheritdoc IPausable
    /// @dev Of paying out, for PAUSE_SECONDS, at most once in PAUSE_EVERY_SECONDS.
    function pause() external {
        if (msg.sender != GUARDIAN) revert Vault_NotGuardian(msg.sender, GUARDIAN);
        uint256 earliest = pausedUntil == 0 ? 0 : pausedUntil - PAUSE_SECONDS + PAUSE_EVERY_SECONDS;
        if (block.timestamp < earliest) revert Vault_PausedTooOften(block.timestamp, earliest);
        pausedUntil = uint64(block.timestamp + PAUSE_SECONDS);
        emit Paused(pausedUntil);
    }

    /// @inheritdoc IBudget
    function settlement() external view returns (address) {
        return _current;
    }

    /// @notice Replaces the pool weights from `fromEpoch` on. One change an epoch, none for an epoch that has begun, and no
    /// pool, new and dropped ones included, moves by more than MAX_WEIGHT_STEP_BPS. Only the authority.
    function setWeights(uint32 fromEpoch, bytes32[] calldata pools, uint16[] calldata weightsBps) external {
        if (msg.sender != AUTHORITY) revert Vault_NotAuthority(msg.sender, AUTHORITY);
        uint32 taken = uint32(Math.max(Epochs.current(GENESIS, EPOCH_SECONDS), weightsFrom));
        if (fromEpoch <= taken) revert Vault_TooLate(fromEpoch, taken + 1);
        _requireWhole(pools, weightsBps);

        bytes32[] memory oldPools = _pools;
        uint16[] memory oldBps = _weightsBps;
        for (uint256 i = 0; i < pools.length; ++i) {
            _requireStep(pools[i], _weightIn(oldPools, oldBps, pools[i]), weightsBps[i]);
        }
        for (uint256 i = 0; i < oldPools.length; ++i) {
            _requireStep(oldPools[i], oldBps[i], _weightIn(pools, weightsBps, oldPools[i]));
        }
        _store(fromEpoch, pools, weightsBps);
    }

    /// @notice The newest pool weights, in basis points; they act from epoch `weightsFrom`.
    function weights() external view returns (bytes32[] memory pools, uint16[] memory weightsBps) {
        return (_pools, _weightsBps);
    }

    function _authority() internal view override returns (address) {
        return AUTHORITY;
    }

    function _store(uint32 fromEpoch, bytes32[] memory pools, uint16[] memory weightsBps) private {
        weightsFrom = fromEpoch;
        _pools = pools;
        _weightsBps = weightsBps;
        emit WeightsSet(fromEpoch, pools, weightsBps);
    }

    function _requireWhole(bytes32[] memory pools, uint16[] memory weightsBps) private pure {
        if (pools.length != weightsBps.length || pools.length > MAX_POOLS) {
            revert Vault_PoolCount(pools.length, weightsBps.length, MAX_POOLS);
        }
        uint256 sum = 0;
        for (uint256 i = 0; i < pools.length; ++i) {
            sum += weightsBps[i];
            for (uint256 j = 0; j < i; ++j) {
                if (pools[i] == pools[j]) revert Vault_PoolTwice(pools[i]);
            }
        }
        if (sum != WEIGHTS_SUM_BPS) revert Vault_WeightsSum(sum, WEIGHTS_SUM_BPS);
    }

    function _requireStep(bytes32 pool, uint256 fromBps, uint256 toBps) private pure {
        uint256 step = fromBps > toBps ? fromBps - toBps : toBps - fromBps;
        if (step > MAX_WEIGHT_STEP_BPS) revert Vault_StepTooLarge(pool, fromBps, toBps, MAX_WEIGHT_STEP_BPS);
    }

    function _weightIn(bytes32[] memory pools, uint16[] memory weightsBps, bytes32 pool)
        private
        pure
        returns (uint256)
    {
        for (uint256 i = 0; i < pools.length; ++i) {
            if (pools[i] == pool) return weightsBps[i];
        }
        return 0;
    }
}
