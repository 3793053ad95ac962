// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {Epochs} from "./Epochs.sol";
import {IBudget} from "./interfaces/IBudget.sol";
import {IRevenue} from "./interfaces/IRevenue.sol";
import {IWeights} from "./interfaces/IWeights.sol";

/// @title From signed epochs to money in accounts.
/// @notice A lead opens the Books of the next epochs; two thirds of the verifiers' weight sign what follows from them; after a
/// challenge window anyone finalises it, which mints the growth of the totals; accounts claim what their totals exceed what they
/// took. A range that nobody proposes in time goes to the next lead. An epoch that never becomes final costs time, not money:
/// totals are cumulative, and everything final stays claimable whatever happens to the verifiers or the authority.
contract Settlement is EIP712 {
    using Checkpoints for Checkpoints.Trace256;
    using SafeERC20 for IERC20;

    /// @notice What happens to the next range of epochs. No function here enters CHALLENGED or REJECTED.
    enum Phase {
        IDLE,
        OPEN,
        PENDING,
        CHALLENGED,
        REJECTED
    }

    /// @param genesis unix time in seconds at which epoch 0 begins
    /// @param graceSeconds how long after an epoch's end its range cannot be opened yet: time to hand in what was measured
    /// @param attemptSeconds how long one lead's turn lasts, from opening to proposing
    /// @param challengeSeconds how long a proposal waits before it can become final
    struct Clock {
        uint64 genesis;
        uint32 epochSeconds;
        uint32 graceSeconds;
        uint32 attemptSeconds;
        uint32 challengeSeconds;
    }

    /// @notice What verifiers sign: the result of settling the epochs `first` to `last`, both included.
    /// @param attempt whose turn it was; `round` 0 before any challenge
    /// @param prevRoot the payout root that is final now, `root` the one after this range: (account, rewards, fees), ever
    /// @param prevStateRoot the carried state it was computed from, `stateRoot` the carried state after it
    /// @param assetRoot (asset, units, rewards, fees, paid epochs), ever
    /// @param rewards token units minted ever, this range included
    /// @param fees payment units redeemed for hosts ever, this range included
    /// @param bookHashes the inputs, one for each epoch
    /// @param policyHashes the rules, one for each epoch
    struct EpochRoot {
        uint32 first;
        uint32 last;
        uint32 attempt;
        uint32 round;
        bytes32 prevRoot;
        bytes32 root;
        bytes32 prevStateRoot;
        bytes32 stateRoot;
        bytes32 assetRoot;
        bytes32 verdictsHash;
        uint128 rewards;
        uint128 fees;
        bytes32[] bookHashes;
        bytes32[] policyHashes;
    }

    /// @dev The running range in one slot. `last`, `attempt` and `weightEpoch` speak of the opened or proposed range; `floor` is the
    /// attempt that began at `since` or when the next epoch was ready, whichever was later.
    struct Progress {
        Phase phase;
        uint32 next;
        uint32 last;
        uint32 attempt;
        uint32 weightEpoch;
        uint32 floor;
        uint40 since;
        uint40 deadline;
    }

    /// @dev Money of one currency: `total` is final for all accounts together, `paid` of it was taken.
    struct Purse {
        uint128 total;
        uint128 paid;
    }

    /// @param rewards token units that the account took, ever
    /// @param fees payment units that the account took, ever
    struct Taken {
        uint128 rewards;
        uint128 fees;
    }

    uint256 public constant MIN_EPOCH_SECONDS = 1 hours;
    uint256 public constant MAX_EPOCH_SECONDS = 30 days;
    uint256 public constant MIN_CHALLENGE_SECONDS = 6 hours;
    uint256 public constant MAX_CHALLENGE_SECONDS = 7 days;
    uint256 public constant MIN_ATTEMPT_SECONDS = 1 hours;

    /// @notice The most epochs that one range can hold.
    uint256 public constant MAX_RANGE = 32;

    bytes32 public constant EPOCH_ROOT_TYPEHASH = keccak256(
        "EpochRoot(uint32 first,uint32 last,uint32 attempt,uint32 round,bytes32 prevRoot,bytes32 root,bytes32 prevStateRoot,bytes32 stateRoot,bytes32 assetRoot,bytes32 verdictsHash,uint128 rewards,uint128 fees,bytes32[] bookHashes,bytes32[] policyHashes)"
    );

    /// @notice The token of rewards.
    IERC20 public immutable TOKEN;

    /// @notice The asset that customers pay and fees are paid in.
    IERC20 public immutable PAYMENT;
    IBudget public immutable BUDGET;
    IWeights public immutable WEIGHTS;

    /// @notice Says how much was redeemed for hosts; address(0) if nothing ever is.
    IRevenue public immutable REVENUE;

    /// @notice The only account that may set policies.
    address public immutable AUTHORITY;
    uint64 public immutable GENESIS;
    uint32 public immutable EPOCH_SECONDS;
    uint32 public immutable GRACE_SECONDS;
    uint32 public immutable ATTEMPT_SECONDS;
    uint32 public immutable CHALLENGE_SECONDS;

    bytes32 private _root;
    bytes32 private _stateRoot;
    bytes32 private _assetRoot;
    Purse private _rewards;
    Purse private _fees;
    Progress private _progress;
    bytes32 private _booksHash;
    bytes32 private _digest;

    /// @notice What each account took, ever.
    mapping(address account => Taken) public taken;

    Checkpoints.Trace256 private _policies;

    event Configured(
        uint64 genesis, uint32 epochSeconds, uint32 graceSeconds, uint32 attemptSeconds, uint32 challengeSeconds
    );
    event PolicySet(uint32 fromEpoch, bytes32 policyHash);
    event Opened(
        uint32 indexed first,
        uint32 indexed last,
        uint32 attempt,
        bytes32[] bookHashes,
        uint64 snapshotBlock,
        address lead
    );
    event Proposed(
        uint32 indexed first,
        uint32 indexed last,
        uint32 attempt,
        uint32 round,
        bytes32 digest,
        bytes32 root,
        bytes32 stateRoot,
        uint64 deadline,
        address[] signers
    );
    event Finalized(
        uint32 indexed first,
        uint32 indexed last,
        uint32 attempt,
        bytes32 root,
        bytes32 stateRoot,
        bytes32 assetRoot,
        bytes32 verdictsHash,
        uint128 rewards,
        uint128 fees,
        bytes32[] bookHashes,
        bytes32[] policyHashes
    );
    event RewardsClaimed(address indexed account, uint256 amount);
    event FeesClaimed(address indexed account, uint256 amount);

    error Settlement_ClockOutOfBounds(string name, uint256 secs, uint256 least, uint256 most);
    error Settlement_NotAuthority(address sender, address authority);
    error Settlement_PolicyTooLate(uint32 fromEpoch, uint256 earliest);
    error Settlement_WrongPhase(Phase phase);
    error Settlement_NotNext(uint32 first, uint32 next);
    error Settlement_BadRange(uint32 first, uint32 last, uint256 books);
    error Settlement_NotOver(uint32 last, uint256 readyAt);
    error Settlement_NotAttempt(uint32 attempt, uint32 current);
    error Settlement_AlreadyOpened(uint32 attempt);
    error Settlement_NotLead(address sender, address lead);
    error Settlement_SnapshotNotPast(uint256 snapshotBlock, uint256 blockNumber);
    error Settlement_NotOpened(uint32 first, uint32 last, uint32 attempt, uint32 round);
    error Settlement_OtherBooks(bytes32 booksHash, bytes32 openedHash);
    error Settlement_NotFromFinal(bytes32 prevRoot, bytes32 prevStateRoot);
    error Settlement_OtherPolicy(uint256 epoch, bytes32 policyHash);
    error Settlement_RewardsFall(uint128 rewards, uint128 finalRewards);
    error Settlement_AboveBudget(uint256 growth, uint256 budget);
    error Settlement_FeesFall(uint128 fees, uint128 finalFees);
    error Settlement_FeesExceedRedeemed(uint128 fees, uint128 redeemed);
    error Settlement_SignatureCount(uint256 rs, uint256 vss);
    error Settlement_SignersNotAscending(address before, address signer);
    error Settlement_NoWeight(address signer, uint32 weightEpoch);
    error Settlement_NoQuorum(uint256 weight, uint256 totalWeight);
    error Settlement_NotPending(bytes32 digest, bytes32 pending);
    error Settlement_InWindow(uint256 time, uint256 deadline);
    error Settlement_ProofInvalid(bytes32 root);
    error Settlement_ClaimableTooLow(uint256 total, uint256 taken);
    error Settlement_ClaimsExceedTotal(uint256 amount, uint256 left);
    error Settlement_LengthsDiffer(uint256 accounts, uint256 rewards, uint256 fees);

    /// @param payment the asset of fees
    /// @param revenue where fees come from; address(0) for a network without fees
    /// @param genesisStateRoot the carried state before epoch 0
    /// @param genesisPolicyHash the policy from epoch 0
    constructor(
        IERC20 token,
        IERC20 payment,
        IBudget budget,
        IWeights weights,
        IRevenue revenue,
        address authority,
        Clock memory clock,
        bytes32 genesisStateRoot,
        bytes32 genesisPolicyHash
    ) EIP712("Subak Settlement", "1") {
        _requireWithin("epochSeconds", clock.epochSeconds, MIN_EPOCH_SECONDS, MAX_EPOCH_SECONDS);
        _requireWithin("challengeSeconds", clock.challengeSeconds, MIN_CHALLENGE_SECONDS, MAX_CHALLENGE_SECONDS);
        _requireWithin("graceSeconds", clock.graceSeconds, 0, clock.epochSeconds / 2);
        uint256 most = clock.epochSeconds > clock.challengeSeconds ? clock.epochSeconds - clock.challengeSeconds - 1 : 0;
        _requireWithin("attemptSeconds", clock.attemptSeconds, MIN_ATTEMPT_SECONDS, most);

        TOKEN = token;
        PAYMENT = payment;
        BUDGET = budget;
        WEIGHTS = weights;
        REVENUE = revenue;
        AUTHORITY = authority;
        GENESIS = clock.genesis;
        EPOCH_SECONDS = clock.epochSeconds;
        GRACE_SECONDS = clock.graceSeconds;
        ATTEMPT_SECONDS = clock.attemptSeconds;
        CHALLENGE_SECONDS = clock.challengeSeconds;
        _stateRoot = genesisStateRoot;
        emit Configured(
            clock.genesis, clock.epochSeconds, clock.graceSeconds, clock.attemptSeconds, clock.challengeSeconds
        );
        _setPolicy(0, genesisPolicyHash);
    }

    /// @notice Puts a policy in force from `fromEpoch`, which has not begun and does not lie before the newest policy's.
    function setPolicy(uint32 fromEpoch, bytes32 policyHash) external {
        if (msg.sender != AUTHORITY) revert Settlement_NotAuthority(msg.sender, AUTHORITY);
        (, uint256 newest,) = _policies.latestCheckpoint();
        uint256 earliest = Math.max(uint256(Epochs.current(GENESIS, EPOCH_SECONDS)) + 1, newest);
        if (fromEpoch < earliest) revert Settlement_PolicyTooLate(fromEpoch, earliest);
        _setPolicy(fromEpoch, policyHash);
    }

    /// @notice Opens the Books of the epochs `first` to `last`, both included and over. Only the lead of the running attempt can,
    /// once in its attempt. The vote on them is weighed as of the epoch that is running now: the signers' stakes are then still
    /// held when it ends, and who fell silent long ago weighs nothing.
    /// @param bookHashes the Books, one for each epoch
    /// @param snapshotBlock the last block whose logs the Books take as known
    function open(uint32 first, uint32 last, uint32 attempt, bytes32[] calldata bookHashes, uint64 snapshotBlock)
        external
    {
        Progress memory p = _progress;
        if (p.phase == Phase.PENDING || p.phase == Phase.CHALLENGED) revert Settlement_WrongPhase(p.phase);
        if (first != p.next) revert Settlement_NotNext(first, p.next);
        if (last < first || last - first >= MAX_RANGE || bookHashes.length != last - first + 1) {
            revert Settlement_BadRange(first, last, bookHashes.length);
        }
        if (block.timestamp < _readyAt(last)) revert Settlement_NotOver(last, _readyAt(last));
        uint32 current = currentAttempt();
        if (attempt != current) revert Settlement_NotAttempt(attempt, current);
        if (p.phase == Phase.OPEN && p.attempt == attempt) revert Settlement_AlreadyOpened(attempt);
        address lead = WEIGHTS.leadOf(uint256(first) + attempt);
        if (msg.sender != lead) revert Settlement_NotLead(msg.sender, lead);
        if (snapshotBlock >= block.number) revert Settlement_SnapshotNotPast(snapshotBlock, block.number);

        p.phase = Phase.OPEN;
        p.last = last;
        p.attempt = attempt;
        p.weightEpoch = Epochs.current(GENESIS, EPOCH_SECONDS);
        _progress = p;
        _booksHash = keccak256(abi.encodePacked(bookHashes));
        emit Opened(first, last, attempt, bookHashes, snapshotBlock, lead);
    }

    /// @notice Proposes the result of the opened Books, signed by at least two thirds of all weight, before the attempt ends.
    /// Anyone can call it. The challenge window begins; its end is fixed here.
    /// @param rs with `vss` the EIP-2098 compact signatures of `digestOf(r)`, in ascending order of their signers
    function propose(EpochRoot calldata r, bytes32[] calldata rs, bytes32[] calldata vss) external {
        Progress memory p = _progress;
        if (p.phase != Phase.OPEN) revert Settlement_WrongPhase(p.phase);
        if (r.first != p.next || r.last != p.last || r.attempt != p.attempt || r.round != 0) {
            revert Settlement_NotOpened(r.first, r.last, r.attempt, r.round);
        }
        uint32 current = currentAttempt();
        if (r.attempt != current) revert Settlement_NotAttempt(r.attempt, current);
        _requireFollows(r);
        bytes32 digest = digestOf(r);
        address[] memory signers = _requireQuorum(digest, rs, vss, p.weightEpoch);

        p.phase = Phase.PENDING;
        p.deadline = SafeCast.toUint40(block.timestamp + CHALLENGE_SECONDS);
        _progress = p;
        _digest = digest;
        emit Proposed(r.first, r.last, r.attempt, r.round, digest, r.root, r.stateRoot, p.deadline, signers);
    }

    /// @notice Makes the pending result final once its window is over, and mints what the rewards grew by. Anyone can call it.
    /// @dev Fails while the budget's rate limit has not refilled; nothing is lost by trying later.
    function finalize(EpochRoot calldata r) external {
        Progress memory p = _progress;
        if (p.phase != Phase.PENDING) revert Settlement_WrongPhase(p.phase);
        bytes32 digest = digestOf(r);
        if (digest != _digest) revert Settlement_NotPending(digest, _digest);
        if (block.timestamp < p.deadline) revert Settlement_InWindow(block.timestamp, p.deadline);

        uint256 growth = r.rewards - _rewards.total;
        p.phase = Phase.IDLE;
        p.next = r.last + 1;
        p.floor = 0;
        p.since = SafeCast.toUint40(block.timestamp);
        _progress = p;
        _root = r.root;
        _stateRoot = r.stateRoot;
        _assetRoot = r.assetRoot;
        _rewards.total = r.rewards;
        _fees.total = r.fees;
        _emitFinalized(r);
        if (growth != 0) BUDGET.mint(r.first, r.last, growth);
    }

    /// @notice Pays `account` the token units by which its final `rewards` exceed what it took. Anyone can call it.
    /// @param rewards with `fees` the account's leaf in the final payout tree: running totals, ever
    function claimRewards(address account, uint256 rewards, uint256 fees, bytes32[] calldata proof) external {
        _requireLeaf(account, rewards, fees, proof);
        uint256 amount = _grow(rewards, taken[account].rewards);
        _spend(_rewards, amount);
        taken[account].rewards = uint128(rewards);
        emit RewardsClaimed(account, amount);
        TOKEN.safeTransfer(account, amount);
    }

    /// @notice Pays `account` the payment units by which its final `fees` exceed what it took. Anyone can call it.
    /// @param rewards with `fees` the account's leaf in the final payout tree: running totals, ever
    function claimFees(address account, uint256 rewards, uint256 fees, bytes32[] calldata proof) external {
        _requireLeaf(account, rewards, fees, proof);
        uint256 amount = _grow(fees, taken[account].fees);
        _spend(_fees, amount);
        taken[account].fees = uint128(fees);
        emit FeesClaimed(account, amount);
        PAYMENT.safeTransfer(account, amount);
    }

    /// @notice Pays many accounts their rewards under one multiproof; who has nothing to take is passed over. Anyone can call it.
    /// @param accounts with `rewards` and `fees` leaves of the final payout tree, in the order that the multiproof needs
    /// @param proof with `flags` an OpenZeppelin multiproof of those leaves
    function claimMany(
        address[] calldata accounts,
        uint256[] calldata rewards,
        uint256[] calldata fees,
        bytes32[] calldata proof,
        bool[] calldata flags
    ) external {
        _requireLeaves(accounts, rewards, fees, proof, flags);
        _payMany(accounts, rewards, false);
    }

    /// @notice Pays many accounts their fees, as `claimMany` pays rewards. Anyone can call it.
    function claimFeesMany(
        address[] calldata accounts,
        uint256[] calldata rewards,
        uint256[] calldata fees,
        bytes32[] calldata proof,
        bool[] calldata flags
    ) external {
        _requireLeaves(accounts, rewards, fees, proof, flags);
        _payMany(accounts, fees, true);
    }

    /// @notice What happens to the next range; an OPEN whose attempt is over waits for the next lead.
    function phase() external view returns (Phase) {
        return _progress.phase;
    }

    /// @notice What is final: roots, totals ever, and the first epoch that is not.
    function finals()
        external
        view
        returns (bytes32 root, bytes32 stateRoot, uint128 rewards, uint128 fees, uint32 next)
    {
        return (_root, _stateRoot, _rewards.total, _fees.total, _progress.next);
    }

    /// @notice The final tree of (asset, units, rewards, fees, paid epochs), ever; 0 before anything is final.
    function assetRoot() external view returns (bytes32) {
        return _assetRoot;
    }

    /// @notice What was paid of the final totals, ever: token units and payment units.
    function paid() external view returns (uint128 rewards, uint128 fees) {
        return (_rewards.paid, _fees.paid);
    }

    /// @notice The range that was opened last; it counts while the phase is OPEN and the attempt runs, and while it is PENDING.
    /// Its vote is counted with the weights of `weightEpoch`; `booksHash` is keccak256 of its Book hashes, packed.
    function opened()
        external
        view
        returns (uint32 first, uint32 last, uint32 attempt, uint32 weightEpoch, bytes32 booksHash)
    {
        Progress memory p = _progress;
        return (p.next, p.last, p.attempt, p.weightEpoch, _booksHash);
    }

    /// @notice What was proposed last; it counts while the phase is PENDING, and can be made final from `deadline`, in unix seconds.
    function pending() external view returns (uint32 attempt, uint64 deadline, bytes32 digest) {
        return (_progress.attempt, _progress.deadline, _digest);
    }

    /// @notice Whose turn it is: counts up by one every ATTEMPT_SECONDS, from the time at which the next epoch was ready or the
    /// last range became final, whichever was later.
    function currentAttempt() public view returns (uint32) {
        uint256 begun = Math.max(_readyAt(_progress.next), _progress.since);
        if (block.timestamp < begun) return _progress.floor;
        return SafeCast.toUint32(_progress.floor + (block.timestamp - begun) / ATTEMPT_SECONDS);
    }

    /// @notice The hash of the policy in force in `epoch`.
    function policyAt(uint32 epoch) public view returns (bytes32) {
        return bytes32(_policies.upperLookupRecent(epoch));
    }

    /// @notice What verifiers sign: the EIP-712 digest of `r` for this contract on this chain.
    function digestOf(EpochRoot calldata r) public view returns (bytes32) {
        bytes memory numbers = abi.encode(
            EPOCH_ROOT_TYPEHASH, r.first, r.last, r.attempt, r.round, r.prevRoot, r.root, r.prevStateRoot
        );
        bytes memory rest = abi.encode(
            r.stateRoot,
            r.assetRoot,
            r.verdictsHash,
            r.rewards,
            r.fees,
            keccak256(abi.encodePacked(r.bookHashes)),
            keccak256(abi.encodePacked(r.policyHashes))
        );
        return _hashTypedDataV4(keccak256(bytes.concat(numbers, rest)));
    }

    function _setPolicy(uint32 fromEpoch, bytes32 policyHash) private {
        _policies.push(fromEpoch, uint256(policyHash));
        emit PolicySet(fromEpoch, policyHash);
    }

    function _emitFinalized(EpochRoot calldata r) private {
        emit Finalized(
            r.first,
            r.last,
            r.attempt,
            r.root,
            r.stateRoot,
            r.assetRoot,
            r.verdictsHash,
            r.rewards,
            r.fees,
            r.bookHashes,
            r.policyHashes
        );
    }

    /// @dev Pays the growth of `totals`: fees or rewards.
    function _payMany(address[] calldata accounts, uint256[] calldata totals, bool inFees) private {
        uint256[] memory amounts = new uint256[](accounts.length);
        uint256 sum = 0;
        for (uint256 i = 0; i < accounts.length; ++i) {
            Taken storage t = taken[accounts[i]];
            uint256 had = inFees ? t.fees : t.rewards;
            if (totals[i] <= had) continue;
            amounts[i] = totals[i] - had;
            sum += amounts[i];
            if (inFees) t.fees = SafeCast.toUint128(totals[i]);
            else t.rewards = SafeCast.toUint128(totals[i]);
        }
        _spend(inFees ? _fees : _rewards, sum);
        IERC20 asset = inFees ? PAYMENT : TOKEN;
        for (uint256 i = 0; i < accounts.length; ++i) {
            if (amounts[i] == 0) continue;
            if (inFees) emit FeesClaimed(accounts[i], amounts[i]);
            else emit RewardsClaimed(accounts[i], amounts[i]);
            asset.safeTransfer(accounts[i], amounts[i]);
        }
    }

    /// @dev Reserves `amount` of what is final and not yet paid: leaves that add up to more than their total cannot take
    /// what belongs to another range.
    function _spend(Purse storage purse, uint256 amount) private {
        uint256 left = purse.total - purse.paid;
        if (amount > left) revert Settlement_ClaimsExceedTotal(amount, left);
        purse.paid += uint128(amount);
    }

    /// @dev When `epoch` is over and the grace for late Entries too.
    function _readyAt(uint256 epoch) private view returns (uint256) {
        return Epochs.startOf(epoch + 1, GENESIS, EPOCH_SECONDS) + GRACE_SECONDS;
    }

    /// @dev `r` continues what is final, with the opened Books, under the policies in force, within the budget.
    function _requireFollows(EpochRoot calldata r) private view {
        bytes32 booksHash = keccak256(abi.encodePacked(r.bookHashes));
        if (booksHash != _booksHash) revert Settlement_OtherBooks(booksHash, _booksHash);
        if (r.prevRoot != _root || r.prevStateRoot != _stateRoot) {
            revert Settlement_NotFromFinal(r.prevRoot, r.prevStateRoot);
        }
        if (r.policyHashes.length != r.bookHashes.length) revert Settlement_OtherPolicy(r.first, 0);
        for (uint256 i = 0; i < r.policyHashes.length; ++i) {
            uint256 epoch = r.first + i;
            if (r.policyHashes[i] != policyAt(uint32(epoch))) revert Settlement_OtherPolicy(epoch, r.policyHashes[i]);
        }
        if (r.rewards < _rewards.total) revert Settlement_RewardsFall(r.rewards, _rewards.total);
        uint256 growth = r.rewards - _rewards.total;
        uint256 budget = BUDGET.budget(r.first, r.last);
        if (growth > budget) revert Settlement_AboveBudget(growth, budget);
        if (r.fees < _fees.total) revert Settlement_FeesFall(r.fees, _fees.total);
        uint128 redeemed = address(REVENUE) == address(0) ? 0 : REVENUE.redeemed();
        if (r.fees > redeemed) revert Settlement_FeesExceedRedeemed(r.fees, redeemed);
    }

    function _requireQuorum(bytes32 digest, bytes32[] calldata rs, bytes32[] calldata vss, uint32 weightEpoch)
        private
        view
        returns (address[] memory signers)
    {
        if (rs.length != vss.length) revert Settlement_SignatureCount(rs.length, vss.length);
        signers = new address[](rs.length);
        address before = address(0);
        uint256 sum = 0;
        for (uint256 i = 0; i < rs.length; ++i) {
            address signer = ECDSA.recover(digest, rs[i], vss[i]);
            if (signer <= before) revert Settlement_SignersNotAscending(before, signer);
            uint256 weight = WEIGHTS.weightOf(signer, weightEpoch);
            if (weight == 0) revert Settlement_NoWeight(signer, weightEpoch);
            sum += weight;
            signers[i] = before = signer;
        }
        uint256 total = WEIGHTS.totalWeight(weightEpoch);
        if (total == 0 || sum * 3 < total * 2) revert Settlement_NoQuorum(sum, total);
    }

    function _requireLeaf(address account, uint256 rewards, uint256 fees, bytes32[] calldata proof) private view {
        bytes32 root = _root;
        if (root == 0 || !MerkleProof.verifyCalldata(proof, root, _leaf(account, rewards, fees))) {
            revert Settlement_ProofInvalid(root);
        }
    }

    function _requireLeaves(
        address[] calldata accounts,
        uint256[] calldata rewards,
        uint256[] calldata fees,
        bytes32[] calldata proof,
        bool[] calldata flags
    ) private view {
        if (accounts.length != rewards.length || accounts.length != fees.length) {
            revert Settlement_LengthsDiffer(accounts.length, rewards.length, fees.length);
        }
        bytes32[] memory leaves = new bytes32[](accounts.length);
        for (uint256 i = 0; i < accounts.length; ++i) {
            leaves[i] = _leaf(accounts[i], rewards[i], fees[i]);
        }
        bytes32 root = _root;
        if (root == 0 || !MerkleProof.multiProofVerifyCalldata(proof, flags, root, leaves)) {
            revert Settlement_ProofInvalid(root);
        }
    }

    function _leaf(address account, uint256 rewards, uint256 fees) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(account, rewards, fees))));
    }

    function _grow(uint256 total, uint256 had) private pure returns (uint256) {
        if (total <= had) revert Settlement_ClaimableTooLow(total, had);
        return total - had;
    }

    function _requireWithin(string memory name, uint256 secs, uint256 least, uint256 most) private pure {
        if (secs < least || secs > most) revert Settlement_ClockOutOfBounds(name, secs, least, most);
    }
}
