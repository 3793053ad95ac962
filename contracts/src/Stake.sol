// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Burning} from "./Burning.sol";
import {Epochs} from "./Epochs.sol";
import {Succession} from "./Succession.sol";
import {IBonds} from "./interfaces/IBonds.sol";
import {IWeights} from "./interfaces/IWeights.sol";

/// @title The verifiers' own bonds, and what their signatures weigh.
/// @notice Whatever changes a weight or a signer acts from the next epoch; before genesis, from epoch 0.
/// A stake is held until UNBONDING_SECONDS after the last epoch in which it weighs, and then its owner can always have it back:
/// no verifier, vote or pause stands in the way. Until then it can be slashed for a provable fault, and a vote can take a small part.
/// From CAP_FROM verifiers on nobody weighs more than a CAP_PARTth of all stake: the rest of a bond neither votes nor earns. The cap is
/// a part of the raw stake, so that bonds at the minimum beside a large one gain nothing by it.
contract Stake is IWeights, IBonds, Succession {
    using Burning for IERC20;
    using Checkpoints for Checkpoints.Trace224;
    using SafeERC20 for IERC20;

    /// @param stake token units held for its owner, below 2^96; 0 for nobody
    /// @param heardAt unix time in seconds of the last sign of life
    /// @param releaseAt unix time in seconds from which the stake can be withdrawn; 0 while it verifies
    struct Verifier {
        uint128 stake;
        uint64 heardAt;
        uint64 releaseAt;
    }

    /// @dev The newest weight of a signer, uncapped: what most questions are about in one slot. Older ones are in its history.
    struct Seat {
        uint112 weight;
        uint32 from;
    }

    /// @param cap the most that one verifier weighs from epoch `from`
    /// @param total what all weigh together from then
    struct Sums {
        uint112 cap;
        uint112 total;
        uint32 from;
    }

    /// @param data contract whose code, after a zero byte, is the sum of all weights and then a word for each signer, in ascending order:
    /// signer (20 bytes), capped weight (12 bytes)
    /// @param from the first epoch that it holds for, `until` the first that it does not
    struct Panel {
        address data;
        uint32 from;
        uint32 until;
    }

    /// @dev Token units that were forfeited and not yet burned; in one slot with the pointer, which the same calls read.
    uint96 private _forfeited;

    /// @notice The most verifiers that can weigh at once: one transaction holds all their signatures.
    uint256 public constant MAX_VERIFIERS = 64;

    /// @notice Who is silent for longer can be pruned by anyone; counted from genesis at the earliest.
    uint256 public constant HEARTBEAT_SECONDS = 14 days;

    /// @notice The shortest unbonding that a deployment can choose.
    uint256 public constant MIN_UNBONDING_SECONDS = 14 days;

    /// @notice Weights are capped from so many verifiers on.
    uint256 public constant CAP_FROM = 4;

    /// @notice The cap is a CAP_PARTth of all stake at work.
    uint256 public constant CAP_PART = 4;

    /// @notice The most that one vote can take of a stake, in basis points.
    uint256 public constant MAX_PUNISH_BPS = 2_000;

    /// @notice How long after such a vote there is no other about the same stake.
    uint256 public constant PUNISH_EVERY_SECONDS = 30 days;

    /// @dev Moves exactly what it is asked to: no fee, no rebase.
    IERC20 public immutable TOKEN;
    uint64 public immutable GENESIS;
    uint32 public immutable EPOCH_SECONDS;

    /// @notice Token units that a verifier must bring to join.
    uint128 public immutable MINIMUM_BOND;

    /// @inheritdoc IBonds
    uint64 public immutable UNBONDING_SECONDS;

    /// @notice Slashes clerks that contradict themselves; beside it only the challenges may slash.
    address public immutable CHANNELS;

    /// @notice May expel and punish by a vote, and announce other challenges.
    address public immutable AUTHORITY;

    /// @notice Verifiers by the address that owns the stake.
    mapping(address owner => Verifier) public verifiers;

    /// @inheritdoc IBonds
    /// @dev A signer serves one owner, once.
    mapping(address signer => address owner) public ownerOfSigner;

    /// @notice Who signs for an owner from the next epoch at the latest; also who signed last for one that left.
    mapping(address owner => address signer) public signerOf;

    /// @notice Unix time in seconds at which a vote last took a part of a stake.
    mapping(address owner => uint64) public punishedAt;

    /// @dev By signer, not by owner, so that a vote costs one slot for each signature.
    mapping(address signer => Seat) private _seats;
    mapping(address signer => Checkpoints.Trace224) private _weights;

    /// @dev The newest sums in one slot, and all of them with the cap in the upper half.
    Sums private _sums;
    Checkpoints.Trace224 private _pastSums;

    /// @notice Who weighs what, written down to be read at once.
    Panel public panel;

    /// @dev Signers that weigh from epoch `_sums.from`, and those that weigh until then, each in the order in which their owners joined.
    address[] private _roster;
    address[] private _rosterBefore;

    event Joined(address indexed owner, address signer, uint256 amount, uint32 fromEpoch);
    event Added(address indexed owner, uint256 amount, uint32 fromEpoch);
    event Exited(address indexed owner, uint32 fromEpoch, uint64 releaseAt);
    event Pruned(address indexed owner, uint32 fromEpoch, uint64 releaseAt);
    event Withdrawn(address indexed owner, uint256 amount);
    event SignerRotated(address indexed owner, address signer, uint32 fromEpoch);
    event WeightSet(address indexed owner, uint32 fromEpoch, uint256 rawWeight);
    event Expelled(address indexed owner, uint32 fromEpoch, uint64 releaseAt);
    event Forfeited(address indexed owner, address signer, uint256 amount);
    event PunishedByVote(address indexed owner, uint256 amount, bytes32 reason);
    event ForfeitedBurned(uint256 amount);
    event Published(address data, uint32 fromEpoch);
    event Heartbeat(address indexed owner);
    event Slashed(address indexed owner, address signer, uint256 amount);

    error Stake_EpochTooShort(uint32 epochSeconds);
    error Stake_UnbondingTooShort(uint64 unbondingSeconds, uint256 shortest);
    error Stake_BondTooSmall(uint256 amount, uint256 minimum);
    error Stake_AlreadyJoined(address owner);
    error Stake_NotVerifying(address account);
    error Stake_Full(uint256 most);
    error Stake_SignerTaken(address signer, address owner);
    error Stake_NothingHeld(address account);
    error Stake_NotReleased(uint256 time, uint64 releaseAt);
    error Stake_StillHeard(address owner, uint256 silentFrom);
    error Stake_NotSlasher(address sender);
    error Stake_NotAuthority(address sender, address authority);
    error Stake_PunishTooLarge(uint256 bps, uint256 most);
    error Stake_PunishedRecently(address owner, uint256 earliest);
    error Stake_InLine(address owner, uint256 weight);
    error Stake_ChangesPending(uint32 epoch, uint32 fromEpoch);
    error Stake_AlreadyPublished(address data);

    /// @param minimumBond token units, above 0
    /// @param unbondingSeconds at least MIN_UNBONDING_SECONDS and one epoch, so that a stake outlives every window of the votes
    /// that it weighed in
    /// @param channels proves clerks' faults
    /// @param challenges_ prove what votes contradict or were wrong about
    /// @param authority see AUTHORITY
    /// @param replaceSeconds how long the announcement of other challenges waits; longer than unbonding
    constructor(
        IERC20 token,
        uint64 genesis,
        uint32 epochSeconds,
        uint128 minimumBond,
        uint64 unbondingSeconds,
        address channels,
        address challenges_,
        address authority,
        uint64 replaceSeconds
    ) Succession(challenges_, replaceSeconds) {
        if (epochSeconds == 0) revert Stake_EpochTooShort(epochSeconds);
        if (minimumBond == 0) revert Stake_BondTooSmall(minimumBond, 1);
        uint256 shortest = Math.max(MIN_UNBONDING_SECONDS, epochSeconds);
        if (unbondingSeconds < shortest) revert Stake_UnbondingTooShort(unbondingSeconds, shortest);
        if (replaceSeconds <= unbondingSeconds) revert Succession_TooShort(replaceSeconds, uint256(unbondingSeconds) + 1);
        TOKEN = token;
        GENESIS = genesis;
        EPOCH_SECONDS = epochSeconds;
        MINIMUM_BOND = minimumBond;
        UNBONDING_SECONDS = unbondingSeconds;
        CHANNELS = channels;
        AUTHORITY = authority;
    }

    /// @notice Makes the caller a verifier with `amount` token units at stake; `signer` is the hot key that signs for it.
    function join(address signer, uint256 amount) external {
        address before = signerOf[msg.sender];
        if (verifiers[msg.sender].stake != 0 || _seats[before].weight != 0) revert Stake_AlreadyJoined(msg.sender);
        if (amount < MINIMUM_BOND) revert Stake_BondTooSmall(amount, MINIMUM_BOND);
        if (_roster.length == MAX_VERIFIERS) revert Stake_Full(MAX_VERIFIERS);
        verifiers[msg.sender] = Verifier(SafeCast.toUint96(amount), uint64(block.timestamp), 0);
        uint32 from = _turn();
        _seat(msg.sender, signer);
        _roster.push(signer);
        _setWeight(msg.sender, amount);
        emit Joined(msg.sender, signer, amount, from);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Adds `amount` token units to the caller's stake.
    function add(uint256 amount) external {
        Verifier storage v = _verifying(msg.sender);
        v.stake = SafeCast.toUint96(v.stake + amount);
        uint32 from = _setWeight(msg.sender, v.stake);
        emit Added(msg.sender, amount, from);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Ends the caller's verifying with the running epoch; the stake is held until `releaseAt`.
    function exit() external {
        (uint32 from, uint64 releaseAt) = _leave(msg.sender);
        emit Exited(msg.sender, from, releaseAt);
    }

    /// @notice Ends the verifying of someone who gave no sign of life for HEARTBEAT_SECONDS. Anyone can call it.
    function prune(address owner) external {
        uint256 silentFrom = Math.max(_verifying(owner).heardAt, GENESIS) + HEARTBEAT_SECONDS;
        if (block.timestamp <= silentFrom) revert Stake_StillHeard(owner, silentFrom);
        (uint32 from, uint64 releaseAt) = _leave(owner);
        emit Pruned(owner, from, releaseAt);
    }

    /// @notice Pays the caller's stake back once it is released.
    function withdraw() external {
        Verifier memory v = verifiers[msg.sender];
        if (v.stake == 0) revert Stake_NothingHeld(msg.sender);
        if (v.releaseAt == 0 || block.timestamp < v.releaseAt) revert Stake_NotReleased(block.timestamp, v.releaseAt);
        delete verifiers[msg.sender];
        emit Withdrawn(msg.sender, v.stake);
        TOKEN.safeTransfer(msg.sender, v.stake);
    }

    /// @inheritdoc IBonds
    /// @dev Also what is unbonding. The weight falls from the next epoch; who is left with less than MINIMUM_BOND leaves.
    function slash(address signer, uint256 amount) external returns (uint256 taken) {
        if (msg.sender != CHANNELS && msg.sender != _current) revert Stake_NotSlasher(msg.sender);
        address owner = ownerOfSigner[signer];
        Verifier storage v = verifiers[owner];
        bool verified = _verifies(owner);
        taken = Math.min(amount, v.stake);
        uint128 left = v.stake - uint128(taken);
        if (verified && left < MINIMUM_BOND) {
            (uint32 from, uint64 releaseAt) = _leave(owner);
            emit Exited(owner, from, releaseAt);
        } else if (verified) {
            _setWeight(owner, left);
        }
        v.stake = left;
        emit Slashed(owner, signer, taken);
        TOKEN.safeTransfer(msg.sender, taken);
    }

    /// @inheritdoc IBonds
    /// @dev Cheap, so that a proof always pays: the weight stays until `adjust`. If ever 2^96 units wait for burning, burn them first.
    function forfeit(address signer) external {
        if (msg.sender != _current) revert Stake_NotSlasher(msg.sender);
        address owner = ownerOfSigner[signer];
        Verifier storage v = verifiers[owner];
        uint256 taken = v.stake;
        if (taken == 0) revert Stake_NothingHeld(owner);
        (v.stake, v.heardAt, v.releaseAt) = (0, 0, 0);
        _forfeited += uint96(taken);
        emit Forfeited(owner, signer, taken);
    }

    /// @notice Takes `bps` of a stake by a vote, rounded up: for what can be shown and not proved here. Only the authority, at most
    /// MAX_PUNISH_BPS once in PUNISH_EVERY_SECONDS.
    /// @param reason hash of the document that shows it
    function punish(address owner, uint256 bps, bytes32 reason) external {
        _requireAuthority();
        if (bps > MAX_PUNISH_BPS) revert Stake_PunishTooLarge(bps, MAX_PUNISH_BPS);
        uint256 earliest = punishedAt[owner] == 0 ? 0 : punishedAt[owner] + PUNISH_EVERY_SECONDS;
        if (block.timestamp < earliest) revert Stake_PunishedRecently(owner, earliest);
        Verifier storage v = verifiers[owner];
        uint96 taken = uint96(Math.mulDiv(v.stake, bps, 10_000, Math.Rounding.Ceil));
        if (taken == 0) revert Stake_NothingHeld(owner);
        punishedAt[owner] = uint64(block.timestamp);
        v.stake -= taken;
        _forfeited += taken;
        emit PunishedByVote(owner, taken, reason);
        if (_latestWeight(owner) != _workingStake(owner)) adjust(owner);
    }

    /// @notice Ends someone's verifying by a vote; the stake is held and released as after an exit. Only the authority.
    function expel(address owner) external {
        _requireAuthority();
        (uint32 from, uint64 releaseAt) = _leave(owner);
        emit Expelled(owner, from, releaseAt);
    }

    /// @notice Brings a weight in line with what is left of the stake, from the next epoch; who has less than MINIMUM_BOND left leaves.
    /// Anyone can call it.
    function adjust(address owner) public {
        uint256 weight = _workingStake(owner);
        if (_latestWeight(owner) == weight) revert Stake_InLine(owner, weight);
        uint32 from = _setWeight(owner, weight);
        if (weight != 0) return;
        uint64 releaseAt = _releaseFrom(from);
        if (verifiers[owner].stake != 0) verifiers[owner].releaseAt = releaseAt;
        emit Exited(owner, from, releaseAt);
    }

    /// @notice Burns what was forfeited. Anyone can call it.
    function burnForfeited() external {
        uint256 amount = _forfeited;
        _forfeited = 0;
        emit ForfeitedBurned(amount);
        TOKEN.burn(amount);
    }

    /// @notice Token units that were forfeited and are not burned yet.
    function forfeited() external view returns (uint256) {
        return _forfeited;
    }

    /// @notice Writes the panel down for the running epoch and those after it, until the next change acts. Anyone can call it; without it
    /// a vote is weighed one by one.
    function publish() external {
        Sums memory sums = _sums;
        uint32 epoch = Epochs.current(GENESIS, EPOCH_SECONDS);
        if (epoch < sums.from) revert Stake_ChangesPending(epoch, sums.from);
        if (panel.until > epoch) revert Stake_AlreadyPublished(panel.data);
        address data = _store(_words(sums));
        panel = Panel(data, sums.from, type(uint32).max);
        emit Published(data, sums.from);
    }

    /// @notice Whose proofs punish votes now.
    function challenges() external view returns (address) {
        return _current;
    }

    /// @notice Replaces the caller's hot key: the new one signs from the next epoch, the old one until then.
    function rotateSigner(address newSigner) external {
        _verifying(msg.sender);
        uint32 from = _turn();
        address before = signerOf[msg.sender];
        uint112 weight = _seats[before].weight;
        _seat(msg.sender, newSigner);
        _roster[_placeOf(before)] = newSigner;
        _weigh(before, 0, from);
        _weigh(newSigner, weight, from);
        emit SignerRotated(msg.sender, newSigner, from);
    }

    /// @notice A sign of life, by a verifier's owner or by its newest signer.
    /// @dev An owner speaks for itself first, so that nobody who names it as a signer can divert its sign of life.
    function heartbeat() external {
        address owner = msg.sender;
        if (!_verifies(owner)) {
            owner = ownerOfSigner[msg.sender];
            if (signerOf[owner] != msg.sender) revert Stake_NotVerifying(msg.sender);
        }
        _verifying(owner).heardAt = uint64(block.timestamp);
        emit Heartbeat(owner);
    }

    /// @inheritdoc IWeights
    function weightOf(address signer, uint32 epoch) public view returns (uint256) {
        Seat memory seat = _seats[signer];
        uint256 weight = epoch >= seat.from ? seat.weight : _weights[signer].upperLookupRecent(epoch);
        return Math.min(weight, _sumsAt(epoch).cap);
    }

    /// @inheritdoc IWeights
    function totalWeight(uint32 epoch) external view returns (uint256) {
        return _sumsAt(epoch).total;
    }

    /// @inheritdoc IWeights
    /// @dev From the panel, if there is one for `epoch`: with fourteen signers that saves 42,000 gas.
    function weigh(address[] calldata signers, uint32 epoch) external view returns (uint256 sum, uint256 total) {
        (uint32 from, uint32 until, address data) = (panel.from, panel.until, panel.data);
        if (epoch < from || epoch >= until) return _weighOneByOne(signers, epoch);
        address signer;
        bool missing;
        // Both lists ascend, so each signer is looked for behind the one before.
        assembly ("memory-safe") {
            let size := sub(extcodesize(data), 1)
            let word := mload(0x40)
            extcodecopy(data, word, 1, size)
            let end := add(word, size)
            total := mload(word)
            let place := signers.offset
            for { let last := add(place, shl(5, signers.length)) } lt(place, last) { place := add(place, 32) } {
                signer := calldataload(place)
                let found := 0
                for { word := add(word, 32) } lt(word, end) { word := add(word, 32) } {
                    found := mload(word)
                    if iszero(lt(shr(96, found), signer)) { break }
                }
                missing := or(iszero(eq(shr(96, found), signer)), iszero(lt(word, end)))
                if missing { break }
                sum := add(sum, and(found, 0xffffffffffffffffffffffff))
            }
        }
        if (missing) revert Weights_Weightless(signer, epoch);
    }

    /// @inheritdoc IWeights
    function answerableSeconds() external view returns (uint64) {
        return UNBONDING_SECONDS;
    }

    /// @inheritdoc IWeights
    /// @dev In the order of joining.
    function leadOf(uint256 turn) external view returns (address signer) {
        address[] storage roster = Epochs.current(GENESIS, EPOCH_SECONDS) < _sums.from ? _rosterBefore : _roster;
        uint256 n = roster.length;
        return n == 0 ? address(0) : roster[turn % n];
    }

    /// @inheritdoc IBonds
    function stakeOf(address signer) external view returns (uint256) {
        address owner = ownerOfSigner[signer];
        return _verifies(owner) && signerOf[owner] == signer ? verifiers[owner].stake : 0;
    }

    /// @inheritdoc IBonds
    function heldOf(address signer) external view returns (uint256) {
        return verifiers[ownerOfSigner[signer]].stake;
    }

    function _authority() internal view override returns (address) {
        return AUTHORITY;
    }

    function _leave(address owner) private returns (uint32 from, uint64 releaseAt) {
        Verifier storage v = _verifying(owner);
        from = _setWeight(owner, 0);
        releaseAt = _releaseFrom(from);
        v.releaseAt = releaseAt;
    }

    /// @dev The epoch from which a change acts. The first change that does keeps the roster of before.
    function _turn() private returns (uint32 from) {
        from = _nextEpoch();
        if (panel.until > from) panel.until = from;
        if (_sums.from == from) return from;
        _sums.from = from;
        _rosterBefore = _roster;
    }

    /// @dev Every change weighs all anew: the cap follows from the sum, and what all weigh from the cap.
    function _setWeight(address owner, uint256 weight) private returns (uint32 from) {
        from = _turn();
        address signer = signerOf[owner];
        _weigh(signer, SafeCast.toUint112(weight), from);
        emit WeightSet(owner, from, weight);
        if (weight == 0) _leaveRoster(signer);

        uint256 n = _roster.length;
        uint256[] memory raw = new uint256[](n);
        uint256 sum = 0;
        for (uint256 i = 0; i < n; ++i) {
            raw[i] = _seats[_roster[i]].weight;
            sum += raw[i];
        }
        uint256 cap = n < CAP_FROM ? sum : sum / CAP_PART;
        uint256 total = 0;
        for (uint256 i = 0; i < n; ++i) {
            total += Math.min(raw[i], cap);
        }
        _sums = Sums(SafeCast.toUint112(cap), SafeCast.toUint112(total), from);
        _pastSums.push(from, uint224((cap << 112) | total));
    }

    function _weigh(address signer, uint112 weight, uint32 from) private {
        _seats[signer] = Seat(weight, from);
        _weights[signer].push(from, weight);
    }

    function _seat(address owner, address signer) private {
        if (signer == address(0) || ownerOfSigner[signer] != address(0)) {
            revert Stake_SignerTaken(signer, ownerOfSigner[signer]);
        }
        ownerOfSigner[signer] = owner;
        signerOf[owner] = signer;
    }

    /// @dev Whoever comes after moves up, so that the order stays.
    function _leaveRoster(address signer) private {
        uint256 last = _roster.length - 1;
        for (uint256 i = _placeOf(signer); i < last; ++i) {
            _roster[i] = _roster[i + 1];
        }
        _roster.pop();
    }

    function _placeOf(address signer) private view returns (uint256 place) {
        while (_roster[place] != signer) {
            ++place;
        }
    }

    function _weighOneByOne(address[] calldata signers, uint32 epoch) private view returns (uint256 sum, uint256 total) {
        for (uint256 i = 0; i < signers.length; ++i) {
            uint256 weight = weightOf(signers[i], epoch);
            if (weight == 0) revert Weights_Weightless(signers[i], epoch);
            sum += weight;
        }
        total = _sumsAt(epoch).total;
    }

    /// @dev The panel's words: the sum, then signers in ascending order, each with its capped weight, which fits as a stake does.
    function _words(Sums memory sums) private view returns (uint256[] memory words) {
        uint256 n = _roster.length;
        words = new uint256[](n + 1);
        words[0] = sums.total;
        for (uint256 i = 1; i <= n; ++i) {
            address signer = _roster[i - 1];
            uint256 word = (uint256(uint160(signer)) << 96) | Math.min(_seats[signer].weight, sums.cap);
            uint256 place = i;
            for (; place > 1 && words[place - 1] > word; --place) {
                words[place] = words[place - 1];
            }
            words[place] = word;
        }
    }

    /// @dev A contract that is nothing but these words behind a zero byte, so that nobody can run it. Its constructor returns everything
    /// after its own eleven bytes.
    function _store(uint256[] memory words) private returns (address data) {
        bytes memory creation = abi.encodePacked(hex"600b5981380380925939f3", hex"00", words);
        assembly ("memory-safe") {
            data := create(0, add(creation, 32), mload(creation))
        }
        assert(data != address(0));
    }

    function _sumsAt(uint32 epoch) private view returns (Sums memory sums) {
        sums = _sums;
        if (epoch >= sums.from) return sums;
        uint224 past = _pastSums.upperLookupRecent(epoch);
        return Sums(uint112(past >> 112), uint112(past), epoch);
    }

    function _latestWeight(address owner) private view returns (uint256) {
        return _seats[signerOf[owner]].weight;
    }

    function _verifying(address owner) private view returns (Verifier storage) {
        if (!_verifies(owner)) revert Stake_NotVerifying(owner);
        return verifiers[owner];
    }

    function _requireAuthority() private view {
        if (msg.sender != AUTHORITY) revert Stake_NotAuthority(msg.sender, AUTHORITY);
    }

    /// @dev What a stake weighs from the next epoch, before the cap.
    function _workingStake(address owner) private view returns (uint256) {
        Verifier memory v = verifiers[owner];
        return v.releaseAt == 0 && v.stake >= MINIMUM_BOND ? v.stake : 0;
    }

    function _releaseFrom(uint32 epoch) private view returns (uint64) {
        return SafeCast.toUint64(Epochs.startOf(epoch, GENESIS, EPOCH_SECONDS) + UNBONDING_SECONDS);
    }

    function _verifies(address owner) private view returns (bool) {
        return verifiers[owner].stake != 0 && verifiers[owner].releaseAt == 0;
    }

    function _nextEpoch() private view returns (uint32) {
        return block.timestamp < GENESIS ? 0 : Epochs.current(GENESIS, EPOCH_SECONDS) + 1;
    }
}
