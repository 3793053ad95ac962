// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Epochs} from "./Epochs.sol";
import {Succession} from "./Succession.sol";
import {IBudget} from "./interfaces/IBudget.sol";
import {IPausable} from "./interfaces/IPausable.sol";
import {Token} from "./Token.sol";

/// @title How much may be minted, for which epochs, and how fast.
/// @notice Three bounds hold for every mint: the schedule's budget for its epochs, a breaker that refills with time, and the
/// token's cap. What an epoch leaves of its budget is gone once a later range is minted.
/// Pool weights are facts for the settlement off chain: this contract only bounds how far they move.
contract Minter is IBudget, IPausable, Succession {
    /// @param genesis unix time in seconds at which epoch 0 begins
    /// @param epochsPerPeriod length of a period of constant budget
    /// @param budgetPerEpoch token units that an epoch of each period may mint; 0 after the last period
    struct Schedule {
        uint64 genesis;
        uint32 epochSeconds;
        uint32 epochsPerPeriod;
        uint128[] budgetPerEpoch;
    }

    /// @param burst token units that can be minted at once; at least the largest epoch's budget
    /// @param refillPerSecond token units a second; over an epoch at least the largest epoch's budget
    struct Breaker {
        uint128 burst;
        uint128 refillPerSecond;
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

    Token public immutable TOKEN;
    address public immutable AUTHORITY;

    /// @notice The only account that may pause; address(0) for nobody.
    address public immutable GUARDIAN;
    uint64 public immutable GENESIS;
    uint32 public immutable EPOCH_SECONDS;
    uint32 public immutable EPOCHS_PER_PERIOD;

    /// @notice How many periods the schedule has; nothing is minted for epochs after the last one.
    uint256 public immutable PERIODS;
    uint128 public immutable BURST;
    uint128 public immutable REFILL_PER_SECOND;

    /// @dev What the cap left when this contract was deployed.
    uint256 private immutable _LEFT_AT_FIRST;

    /// @notice The first epoch that nothing was minted for yet; every earlier one is closed.
    uint64 public nextEpoch;

    /// @notice Token units minted, ever.
    uint128 public minted;

    /// @notice The epoch from which the newest pool weights act.
    uint32 public weightsFrom;

    /// @notice Unix time in seconds until which nothing is minted. What waits can be minted afterwards.
    uint64 public pausedUntil;

    mapping(uint256 period => uint128) private _budgetPerEpoch;
    bytes32[] private _pools;
    uint16[] private _weightsBps;
    uint128 private _level;
    uint64 private _levelAt;

    event ScheduleSet(uint64 genesis, uint32 epochSeconds, uint32 epochsPerPeriod, uint128[] budgetPerEpoch);
    event WeightsSet(uint32 fromEpoch, bytes32[] pools, uint16[] weightsBps);
    event Paused(uint64 until);
    event Minted(uint32 first, uint32 last, uint256 amount);

    error Minter_EmptyClock(uint32 epochSeconds, uint32 epochsPerPeriod);
    error Minter_BurstTooSmall(uint256 burst, uint256 largestBudget);
    error Minter_RefillTooSlow(uint256 refillPerEpoch, uint256 largestBudget);
    error Minter_NotSettlement(address sender, address settlement);
    error Minter_NotGuardian(address sender, address guardian);
    error Minter_PausedTooOften(uint256 time, uint256 earliest);
    error Minter_Paused(uint256 time, uint64 until);
    error Minter_NotAuthority(address sender, address authority);
    error Minter_RangeBackwards(uint32 first, uint32 last);
    error Minter_AlreadyMinted(uint32 first, uint64 nextEpoch);
    error Minter_AboveBudget(uint256 amount, uint256 budget);
    error Minter_BreakerOpen(uint256 amount, uint256 room);
    error Minter_TooLate(uint32 fromEpoch, uint32 earliest);
    error Minter_PoolCount(uint256 pools, uint256 weights, uint256 most);
    error Minter_PoolTwice(bytes32 pool);
    error Minter_WeightsSum(uint256 sumBps, uint256 wantedBps);
    error Minter_StepTooLarge(bytes32 pool, uint256 fromBps, uint256 toBps, uint256 stepBps);

    /// @param settlement_ the only account that may mint, and to which it is minted, until another one takes over
    /// @param authority the only account that may move the pool weights and announce another settlement
    /// @param guardian may pause minting for a while
    /// @param replaceSeconds how long such an announcement waits
    /// @param pools names of the pools; `weightsBps` their shares of every epoch's budget, from epoch 0
    constructor(
        Token token,
        address settlement_,
        address authority,
        address guardian,
        uint64 replaceSeconds,
        Schedule memory schedule,
        Breaker memory breaker,
        bytes32[] memory pools,
        uint16[] memory weightsBps
    ) Succession(settlement_, replaceSeconds) {
        if (schedule.epochSeconds == 0 || schedule.epochsPerPeriod == 0) {
            revert Minter_EmptyClock(schedule.epochSeconds, schedule.epochsPerPeriod);
        }
        uint256 largest = 0;
        for (uint256 i = 0; i < schedule.budgetPerEpoch.length; ++i) {
            largest = Math.max(largest, schedule.budgetPerEpoch[i]);
            _budgetPerEpoch[i] = schedule.budgetPerEpoch[i];
        }
        uint256 refillPerEpoch = uint256(breaker.refillPerSecond) * schedule.epochSeconds;
        if (breaker.burst < largest) revert Minter_BurstTooSmall(breaker.burst, largest);
        if (refillPerEpoch < largest) revert Minter_RefillTooSlow(refillPerEpoch, largest);
        _requireWhole(pools, weightsBps);

        TOKEN = token;
        AUTHORITY = authority;
        GUARDIAN = guardian;
        GENESIS = schedule.genesis;
        EPOCH_SECONDS = schedule.epochSeconds;
        EPOCHS_PER_PERIOD = schedule.epochsPerPeriod;
        _LEFT_AT_FIRST = token.CAP() - token.totalSupply();
        BURST = breaker.burst;
        REFILL_PER_SECOND = breaker.refillPerSecond;
        PERIODS = schedule.budgetPerEpoch.length;
        emit ScheduleSet(schedule.genesis, schedule.epochSeconds, schedule.epochsPerPeriod, schedule.budgetPerEpoch);
        _store(0, pools, weightsBps);
    }

    /// @notice The schedule's token units for the epochs `first` to `last`, both included.
    function scheduled(uint32 first, uint32 last) public view returns (uint256 sum) {
        uint256 period = first / EPOCHS_PER_PERIOD;
        // Nearly every range lies in one period.
        if (first <= last && period == last / EPOCHS_PER_PERIOD) {
            return (uint256(last - first) + 1) * _budgetPerEpoch[period];
        }
        uint256 end = uint256(last) + 1;
        for (; period < PERIODS; ++period) {
            uint256 from = Math.max(first, period * EPOCHS_PER_PERIOD);
            uint256 to = Math.min(end, (period + 1) * EPOCHS_PER_PERIOD);
            if (to <= from) break;
            sum += (to - from) * _budgetPerEpoch[period];
        }
    }

    /// @inheritdoc IBudget
    /// @dev The least of what is scheduled, what the breaker can ever let through at once, and what the cap leaves; 0 for epochs
    /// that are closed. So a promise made here waits for the breaker at most, and never for ever.
    function budget(uint32 first, uint32 last) public view returns (uint256 down) {
        if (first < nextEpoch) return 0;
        down = Math.min(scheduled(first, last), BURST);
        // The supply only grows by what is minted here, so the token is asked only when that comes near its cap.
        if (down > _LEFT_AT_FIRST - Math.min(minted, _LEFT_AT_FIRST)) {
            down = Math.min(down, TOKEN.CAP() - TOKEN.totalSupply());
        }
    }

    /// @notice The token units that the breaker lets through now.
    function room() public view returns (uint256 down) {
        uint256 refilled = uint256(REFILL_PER_SECOND) * (block.timestamp - _levelAt);
        return BURST - (_level > refilled ? _level - refilled : 0);
    }

    /// @inheritdoc IBudget
    /// @dev For an amount of 0 nothing happens: neither are the epochs closed nor does the breaker notice.
    function mint(uint32 first, uint32 last, uint256 amount) external {
        if (msg.sender != _current) revert Minter_NotSettlement(msg.sender, _current);
        if (first > last) revert Minter_RangeBackwards(first, last);
        if (first < nextEpoch) revert Minter_AlreadyMinted(first, nextEpoch);
        if (amount == 0) return;
        if (block.timestamp < pausedUntil) revert Minter_Paused(block.timestamp, pausedUntil);
        uint256 most = budget(first, last);
        if (amount > most) revert Minter_AboveBudget(amount, most);
        uint256 left = room();
        if (amount > left) revert Minter_BreakerOpen(amount, left);

        nextEpoch = uint64(last) + 1;
        minted += uint128(amount);
        _level = uint128(BURST - left + amount);
        _levelAt = uint64(block.timestamp);
        emit Minted(first, last, amount);
        TOKEN.mint(msg.sender, amount);
    }

    /// @inheritdoc IPausable
    /// @dev Of minting, for PAUSE_SECONDS, at most once in PAUSE_EVERY_SECONDS.
    function pause() external {
        if (msg.sender != GUARDIAN) revert Minter_NotGuardian(msg.sender, GUARDIAN);
        uint256 earliest = pausedUntil == 0 ? 0 : pausedUntil - PAUSE_SECONDS + PAUSE_EVERY_SECONDS;
        if (block.timestamp < earliest) revert Minter_PausedTooOften(block.timestamp, earliest);
        pausedUntil = uint64(block.timestamp + PAUSE_SECONDS);
        emit Paused(pausedUntil);
    }

    /// @inheritdoc IBudget
    function settlement() external view returns (address) {
        return _current;
    }

    /// @notice Replaces the pool weights from `fromEpoch` on. One change an epoch, none for an epoch that has begun, and no
    /// pool, new and dropped ones included, moves by more than MAX_WEIGHT_STEP_BPS.
    function setWeights(uint32 fromEpoch, bytes32[] calldata pools, uint16[] calldata weightsBps) external {
        if (msg.sender != AUTHORITY) revert Minter_NotAuthority(msg.sender, AUTHORITY);
        uint32 taken = uint32(Math.max(Epochs.current(GENESIS, EPOCH_SECONDS), weightsFrom));
        if (fromEpoch <= taken) revert Minter_TooLate(fromEpoch, taken + 1);
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
            revert Minter_PoolCount(pools.length, weightsBps.length, MAX_POOLS);
        }
        uint256 sum = 0;
        for (uint256 i = 0; i < pools.length; ++i) {
            sum += weightsBps[i];
            for (uint256 j = 0; j < i; ++j) {
                if (pools[i] == pools[j]) revert Minter_PoolTwice(pools[i]);
            }
        }
        if (sum != WEIGHTS_SUM_BPS) revert Minter_WeightsSum(sum, WEIGHTS_SUM_BPS);
    }

    function _requireStep(bytes32 pool, uint256 fromBps, uint256 toBps) private pure {
        uint256 step = fromBps > toBps ? fromBps - toBps : toBps - fromBps;
        if (step > MAX_WEIGHT_STEP_BPS) revert Minter_StepTooLarge(pool, fromBps, toBps, MAX_WEIGHT_STEP_BPS);
    }

    function _weightIn(bytes32[] memory pools, uint16[] memory weightsBps, bytes32 pool) private pure returns (uint256) {
        for (uint256 i = 0; i < pools.length; ++i) {
            if (pools[i] == pool) return weightsBps[i];
        }
        return 0;
    }
}
