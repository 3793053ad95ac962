// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Epochs} from "./Epochs.sol";
import {IBonds} from "./interfaces/IBonds.sol";
import {IWeights} from "./interfaces/IWeights.sol";

/// @title The verifiers' own bonds, and what their signatures weigh.
/// @notice Whatever changes a weight or a signer acts from the next epoch; before genesis, from epoch 0.
/// A stake is held until UNBONDING_SECONDS after the last epoch in which it weighs, and then its owner can always have it back:
/// no verifier, vote or pause stands in the way. Until then it can be slashed for a provable fault.
contract Stake is IWeights, IBonds {
    using Checkpoints for Checkpoints.Trace224;
    using SafeERC20 for IERC20;

    /// @param stake token units held for its owner; 0 for nobody
    /// @param heardAt unix time in seconds of the last sign of life
    /// @param releaseAt unix time in seconds from which the stake can be withdrawn; 0 while it verifies
    struct Verifier {
        uint128 stake;
        uint64 heardAt;
        uint64 releaseAt;
    }

    /// @notice The most verifiers that can weigh at once: one transaction holds all their signatures.
    uint256 public constant MAX_VERIFIERS = 64;

    /// @notice Who is silent for longer can be pruned by anyone; counted from genesis at the earliest.
    uint256 public constant HEARTBEAT_SECONDS = 14 days;

    /// @notice The shortest unbonding that a deployment can choose.
    uint256 public constant MIN_UNBONDING_SECONDS = 14 days;

    /// @dev Moves exactly what it is asked to: no fee, no rebase.
    IERC20 public immutable TOKEN;
    uint64 public immutable GENESIS;
    uint32 public immutable EPOCH_SECONDS;

    /// @notice Token units that a verifier must bring to join.
    uint128 public immutable MINIMUM_BOND;

    /// @inheritdoc IBonds
    uint64 public immutable UNBONDING_SECONDS;

    /// @notice The only account that may slash; it has the proofs.
    address public immutable SLASHER;

    /// @notice Verifiers by the address that owns the stake.
    mapping(address owner => Verifier) public verifiers;

    /// @inheritdoc IBonds
    /// @dev A signer serves one owner, once.
    mapping(address signer => address owner) public ownerOfSigner;

    mapping(address owner => Checkpoints.Trace224) private _signers;
    mapping(address owner => Checkpoints.Trace224) private _weights;
    Checkpoints.Trace224 private _total;

    /// @dev Owners in the order in which they joined; those who left stay until the next one joins.
    address[] private _order;

    event Joined(address indexed owner, address signer, uint256 amount, uint32 fromEpoch);
    event Added(address indexed owner, uint256 amount, uint32 fromEpoch);
    event Exited(address indexed owner, uint32 fromEpoch, uint64 releaseAt);
    event Pruned(address indexed owner, uint32 fromEpoch, uint64 releaseAt);
    event Withdrawn(address indexed owner, uint256 amount);
    event SignerRotated(address indexed owner, address signer, uint32 fromEpoch);
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
    error Stake_NotSlasher(address sender, address slasher);

    /// @param minimumBond token units, above 0
    /// @param unbondingSeconds at least MIN_UNBONDING_SECONDS and one epoch, so that a stake outlives every window of the votes
    /// that it weighed in
    /// @param slasher the contract that proves faults: our Channels
    constructor(
        IERC20 token,
        uint64 genesis,
        uint32 epochSeconds,
        uint128 minimumBond,
        uint64 unbondingSeconds,
        address slasher
    ) {
        if (epochSeconds == 0) revert Stake_EpochTooShort(epochSeconds);
        if (minimumBond == 0) revert Stake_BondTooSmall(minimumBond, 1);
        uint256 shortest = Math.max(MIN_UNBONDING_SECONDS, epochSeconds);
        if (unbondingSeconds < shortest) revert Stake_UnbondingTooShort(unbondingSeconds, shortest);
        TOKEN = token;
        GENESIS = genesis;
        EPOCH_SECONDS = epochSeconds;
        MINIMUM_BOND = minimumBond;
        UNBONDING_SECONDS = unbondingSeconds;
        SLASHER = slasher;
    }

    /// @notice Makes the caller a verifier with `amount` token units at stake; `signer` is the hot key that signs for it.
    /// @dev Who was slashed to nothing can return once it weighs no longer, so that it leads once an epoch.
    function join(address signer, uint256 amount) external {
        if (verifiers[msg.sender].stake != 0 || _weighsNow(msg.sender)) revert Stake_AlreadyJoined(msg.sender);
        if (amount < MINIMUM_BOND) revert Stake_BondTooSmall(amount, MINIMUM_BOND);
        _forgetWhoLeft();
        if (_order.length == MAX_VERIFIERS) revert Stake_Full(MAX_VERIFIERS);
        _order.push(msg.sender);
        verifiers[msg.sender] = Verifier(SafeCast.toUint128(amount), uint64(block.timestamp), 0);
        uint32 from = _setSigner(msg.sender, signer);
        _setWeight(msg.sender, amount);
        emit Joined(msg.sender, signer, amount, from);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Adds `amount` token units to the caller's stake.
    function add(uint256 amount) external {
        Verifier storage v = _verifying(msg.sender);
        v.stake = SafeCast.toUint128(v.stake + amount);
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
        if (msg.sender != SLASHER) revert Stake_NotSlasher(msg.sender, SLASHER);
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

    /// @notice Replaces the caller's hot key: the new one signs from the next epoch, the old one until then.
    function rotateSigner(address newSigner) external {
        _verifying(msg.sender);
        uint32 from = _setSigner(msg.sender, newSigner);
        emit SignerRotated(msg.sender, newSigner, from);
    }

    /// @notice A sign of life, by a verifier's owner or by its newest signer.
    /// @dev An owner speaks for itself first, so that nobody who names it as a signer can divert its sign of life.
    function heartbeat() external {
        address owner = msg.sender;
        if (!_verifies(owner)) {
            owner = ownerOfSigner[msg.sender];
            if (_signers[owner].latest() != uint160(msg.sender)) revert Stake_NotVerifying(msg.sender);
        }
        _verifying(owner).heardAt = uint64(block.timestamp);
        emit Heartbeat(owner);
    }

    /// @inheritdoc IWeights
    function weightOf(address signer, uint32 epoch) external view returns (uint256) {
        address owner = ownerOfSigner[signer];
        if (owner == address(0) || _signerAt(owner, epoch) != signer) return 0;
        return _weights[owner].upperLookupRecent(epoch);
    }

    /// @inheritdoc IWeights
    function totalWeight(uint32 epoch) external view returns (uint256) {
        return _total.upperLookupRecent(epoch);
    }

    /// @inheritdoc IWeights
    /// @dev In the order of joining.
    function leadOf(uint256 turn) external view returns (address signer) {
        uint32 epoch = Epochs.current(GENESIS, EPOCH_SECONDS);
        address[] memory weighing = new address[](_order.length);
        uint256 n = 0;
        for (uint256 i = 0; i < weighing.length; ++i) {
            if (_weights[_order[i]].upperLookupRecent(epoch) != 0) weighing[n++] = _order[i];
        }
        return n == 0 ? address(0) : _signerAt(weighing[turn % n], epoch);
    }

    /// @inheritdoc IBonds
    function stakeOf(address signer) external view returns (uint256) {
        address owner = ownerOfSigner[signer];
        return _verifies(owner) && _signers[owner].latest() == uint160(signer) ? verifiers[owner].stake : 0;
    }

    function _leave(address owner) private returns (uint32 from, uint64 releaseAt) {
        Verifier storage v = _verifying(owner);
        from = _setWeight(owner, 0);
        releaseAt = SafeCast.toUint64(Epochs.startOf(from, GENESIS, EPOCH_SECONDS) + UNBONDING_SECONDS);
        v.releaseAt = releaseAt;
    }

    function _setWeight(address owner, uint256 weight) private returns (uint32 from) {
        from = _nextEpoch();
        (uint224 was, uint224 is_) = _weights[owner].push(from, SafeCast.toUint224(weight));
        _total.push(from, _total.latest() - was + is_);
    }

    function _setSigner(address owner, address signer) private returns (uint32 from) {
        if (signer == address(0) || ownerOfSigner[signer] != address(0)) {
            revert Stake_SignerTaken(signer, ownerOfSigner[signer]);
        }
        ownerOfSigner[signer] = owner;
        from = _nextEpoch();
        _signers[owner].push(from, uint160(signer));
    }

    /// @dev Keeps everyone who verifies, and who left but weighs until the running epoch ends.
    function _forgetWhoLeft() private {
        uint256 kept = 0;
        for (uint256 i = 0; i < _order.length; ++i) {
            address owner = _order[i];
            if (_verifies(owner) || _weighsNow(owner)) _order[kept++] = owner;
        }
        while (_order.length > kept) {
            _order.pop();
        }
    }

    function _verifying(address owner) private view returns (Verifier storage) {
        if (!_verifies(owner)) revert Stake_NotVerifying(owner);
        return verifiers[owner];
    }

    function _verifies(address owner) private view returns (bool) {
        return verifiers[owner].stake != 0 && verifiers[owner].releaseAt == 0;
    }

    function _weighsNow(address owner) private view returns (bool) {
        return _weights[owner].upperLookupRecent(Epochs.current(GENESIS, EPOCH_SECONDS)) != 0;
    }

    function _signerAt(address owner, uint32 epoch) private view returns (address) {
        return address(uint160(_signers[owner].upperLookupRecent(epoch)));
    }

    function _nextEpoch() private view returns (uint32) {
        return block.timestamp < GENESIS ? 0 : Epochs.current(GENESIS, EPOCH_SECONDS) + 1;
    }
}
