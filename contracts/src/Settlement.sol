// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {Epochs} from "./Epochs.sol";
import {IBudget} from "./interfaces/IBudget.sol";
import {IChallenges} from "./interfaces/IChallenges.sol";
import {IRevenue} from "./interfaces/IRevenue.sol";
import {IWeights} from "./interfaces/IWeights.sol";
import {Votes} from "./Votes.sol";

/// @title From signed epochs to money in accounts.
/// @notice A lead opens the Books of the next epochs; two thirds of the verifiers' weight sign what follows from them; after a
/// challenge window anyone finalises it, which mints the growth of the totals; accounts claim what their totals exceed what they
/// took. A range that nobody proposes in time goes to the next lead. A result that is challenged is judged again over the same Books;
/// every deadline is fixed when it is set. An epoch that never becomes final costs time, not money: totals are cumulative, and
/// everything final stays claimable whatever happens to the verifiers or the authority.
/// The budget says which Settlement lives: one that it no longer serves can make nothing final, and pays what is final for ever.
contract Settlement is EIP712 {
    using Checkpoints for Checkpoints.Trace256;
    using SafeERC20 for IERC20;

    /// @notice What happens to the next range of epochs: its Books are OPEN for a result, which is PENDING until its window is over;
    /// CHALLENGED Books are judged again; a confirmed result that is ESCALATED waits for governance; after a REJECTED one the next
    /// lead opens the range again.
    enum Phase {
        IDLE,
        OPEN,
        PENDING,
        CHALLENGED,
        ESCALATED,
        REJECTED
    }

    /// @notice Who stands around a Settlement.
    /// @param token the token of rewards
    /// @param payment the asset of fees
    /// @param revenue where fees come from; address(0) for a network without fees
    /// @param authority the only account that may set policies
    /// @param challenges the only account that may contest a result: it holds the bonds and knows the proofs
    /// @param predecessor the Settlement that this one takes over from; address(0) for a network's first
    struct Parties {
        IERC20 token;
        IERC20 payment;
        IBudget budget;
        IWeights weights;
        IRevenue revenue;
        address authority;
        IChallenges challenges;
        Settlement predecessor;
    }

    /// @param genesis unix time in seconds at which epoch 0 begins
    /// @param graceSeconds how long after an epoch's end its range cannot be opened yet: time to hand in what was measured
    /// @param sealSeconds how long after an opening nothing can be proposed: verifiers seal their verdicts before anyone knows them
    /// @param attemptSeconds how long one lead's turn lasts, from opening to proposing
    /// @param challengeSeconds how long a proposal waits before it can become final
    /// @param reconfirmSeconds how long the verifiers have to judge challenged Books again
    /// @param governanceSeconds how long the authority has to strike an escalated result; longer than any vote
    struct Clock {
        uint64 genesis;
        uint32 epochSeconds;
        uint32 graceSeconds;
        uint32 sealSeconds;
        uint32 attemptSeconds;
        uint32 challengeSeconds;
        uint32 reconfirmSeconds;
        uint32 governanceSeconds;
    }

    /// @notice The result of settling the epochs `first` to `last`, both included. Verifiers sign Vote(first, attempt, round, result):
    /// the same result in another round is the same hash, and two results under one name prove equivocation.
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

    /// @dev The running range in one slot. `round`, `more`, `attempt` and `weightEpoch` speak of the opened or proposed range, which holds
    /// `next` and so many more epochs; `floor` is the attempt that began at `since` or when the next epoch was ready, whichever was
    /// later. `deadline` is that of the phase. `policyFrom` is the epoch of the newest policy.
    struct Progress {
        Phase phase;
        uint8 round;
        uint8 more;
        uint32 next;
        uint24 attempt;
        uint24 floor;
        uint32 weightEpoch;
        uint32 policyFrom;
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
    uint256 public constant MIN_SEAL_SECONDS = 10 minutes;
    uint256 public constant MIN_RECONFIRM_SECONDS = 6 hours;
    uint256 public constant MAX_RECONFIRM_SECONDS = 7 days;
    uint256 public constant MIN_GOVERNANCE_SECONDS = 7 days;
    uint256 public constant MAX_GOVERNANCE_SECONDS = 30 days;

    /// @notice The most epochs that one range can hold.
    uint256 public constant MAX_RANGE = 32;

    bytes32 public constant EPOCH_ROOT_TYPEHASH = Votes.RESULT_TYPEHASH;
    bytes32 public constant VOTE_TYPEHASH = Votes.TYPEHASH;

    /// @dev `next` of a Settlement that did not begin yet.
    uint32 private constant NOT_BEGUN = type(uint32).max;

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

    /// @notice The only account that may contest, extend, escalate and strike.
    IChallenges public immutable CHALLENGES;

    /// @notice Whom this one takes over from; address(0) for nobody.
    Settlement public immutable PREDECESSOR;
    uint64 public immutable GENESIS;
    uint32 public immutable EPOCH_SECONDS;
    uint32 public immutable GRACE_SECONDS;
    uint32 public immutable SEAL_SECONDS;
    uint32 public immutable ATTEMPT_SECONDS;
    uint32 public immutable CHALLENGE_SECONDS;
    uint32 public immutable RECONFIRM_SECONDS;
    uint32 public immutable GOVERNANCE_SECONDS;

    bytes32 private _root;
    bytes32 private _stateRoot;
    bytes32 private _assetRoot;
    Purse private _rewards;
    Purse private _fees;
    Progress private _progress;
    bytes32 private _booksHash;

    /// @dev What was proposed; until then, the hash of what every result of the opened Books must name: them, the root and the state.
    bytes32 private _result;
    bytes32 private _disputed;

    /// @notice Payment units that the predecessor handed over: redeemed for it, and in no final total of it.
    uint128 public inherited;

    /// @notice Payment units that were handed over to a successor.
    uint128 public handedOver;

    /// @notice What each account took, ever.
    mapping(address account => Taken) public taken;

    /// @dev The newest policy, and all of them by the epoch from which they act.
    bytes32 private _policy;
    Checkpoints.Trace256 private _policies;

    event Configured(Clock clock);
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
        bytes32 result,
        bytes32 root,
        bytes32 stateRoot,
        uint64 deadline,
        address[] signers
    );
    event Challenged(uint32 indexed first, uint32 attempt, uint64 deadline);
    event Extended(uint32 indexed first, uint32 attempt, uint64 deadline);
    event Escalated(uint32 indexed first, uint32 attempt, uint64 deadline);
    event Rejected(uint32 indexed first, uint32 indexed last, uint32 attempt, uint32 round);
    event Begun(uint32 first, bytes32 stateRoot);
    event Inherited(uint128 fees);
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
    error Settlement_NotOpened(uint32 first, uint32 last);
    error Settlement_NotSealed(uint256 time, uint256 sealDeadline);
    error Settlement_RoundOver(uint256 time, uint256 deadline);
    error Settlement_NotChallenges(address sender, address challenges);
    error Settlement_NotRunning(uint32 first, uint32 attempt, uint32 runningFirst, uint32 runningAttempt);
    error Settlement_WrongRound(uint32 round);
    error Settlement_AnswerableTooShort(uint256 answerableSeconds, uint256 mustExceed);
    error Settlement_NotServed(address served);
    error Settlement_OtherPredecessor(address predecessor);
    error Settlement_Begun(uint32 next);
    error Settlement_OtherBooks(bytes32 booksHash, bytes32 openedHash);
    error Settlement_NotFromFinal(bytes32 prevRoot, bytes32 prevStateRoot);
    error Settlement_OtherPolicy(uint256 epoch, bytes32 policyHash);
    error Settlement_RewardsFall(uint128 rewards, uint128 finalRewards);
    error Settlement_AboveBudget(uint256 growth, uint256 budget);
    error Settlement_FeesFall(uint128 fees, uint128 finalFees);
    error Settlement_FeesExceedRedeemed(uint128 fees, uint128 redeemed);
    error Settlement_SignatureCount(uint256 rs, uint256 vss);
    error Settlement_SignersNotAscending(address before, address signer);
    error Settlement_NoQuorum(uint256 weight, uint256 totalWeight);
    error Settlement_NotPending(bytes32 result, bytes32 pending);
    error Settlement_InWindow(uint256 time, uint256 deadline);
    error Settlement_ProofInvalid(bytes32 root);
    error Settlement_ClaimableTooLow(uint256 total, uint256 taken);
    error Settlement_ClaimsExceedTotal(uint256 amount, uint256 left);
    error Settlement_LengthsDiffer(uint256 accounts, uint256 rewards, uint256 fees);

    /// @param genesisStateRoot the carried state before epoch 0; of no use to a successor, which begins with its predecessor's
    /// @param genesisPolicyHash the policy from epoch 0; a successor begins with its predecessor's
    constructor(Parties memory p, Clock memory clock, bytes32 genesisStateRoot, bytes32 genesisPolicyHash)
        EIP712("Subak Settlement", "1")
    {
        _requireClock(clock);
        uint256 windows = uint256(clock.epochSeconds) + clock.attemptSeconds + 3 * uint256(clock.challengeSeconds)
            + clock.reconfirmSeconds + clock.governanceSeconds;
        uint256 answerable = p.weights.answerableSeconds();
        if (answerable <= windows) revert Settlement_AnswerableTooShort(answerable, windows);
        if (address(p.predecessor) != address(0)) _requireSameMoneyAndTime(p, clock);

        TOKEN = p.token;
        PAYMENT = p.payment;
        BUDGET = p.budget;
        WEIGHTS = p.weights;
        REVENUE = p.revenue;
        AUTHORITY = p.authority;
        CHALLENGES = p.challenges;
        PREDECESSOR = p.predecessor;
        GENESIS = clock.genesis;
        EPOCH_SECONDS = clock.epochSeconds;
        GRACE_SECONDS = clock.graceSeconds;
        SEAL_SECONDS = clock.sealSeconds;
        ATTEMPT_SECONDS = clock.attemptSeconds;
        CHALLENGE_SECONDS = clock.challengeSeconds;
        RECONFIRM_SECONDS = clock.reconfirmSeconds;
        GOVERNANCE_SECONDS = clock.governanceSeconds;
        emit Configured(clock);
        if (address(p.predecessor) == address(0)) {
            _stateRoot = genesisStateRoot;
            _setPolicy(0, genesisPolicyHash);
        } else {
            _progress.next = NOT_BEGUN;
        }
    }

    /// @notice Puts a policy in force from `fromEpoch`, which has not begun and does not lie before the newest policy's.
    function setPolicy(uint32 fromEpoch, bytes32 policyHash) external {
        if (msg.sender != AUTHORITY) revert Settlement_NotAuthority(msg.sender, AUTHORITY);
        if (_progress.next == NOT_BEGUN) revert Settlement_NotServed(BUDGET.settlement());
        uint256 earliest = Math.max(uint256(Epochs.current(GENESIS, EPOCH_SECONDS)) + 1, _progress.policyFrom);
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
        if (_waits(p.phase)) revert Settlement_WrongPhase(p.phase);
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
        p.round = 0;
        p.deadline = SafeCast.toUint40(block.timestamp + SEAL_SECONDS);
        p.more = uint8(last - first);
        p.attempt = uint24(attempt);
        p.weightEpoch = Epochs.current(GENESIS, EPOCH_SECONDS);
        _progress = p;
        bytes32 booksHash = keccak256(abi.encodePacked(bookHashes));
        _booksHash = booksHash;
        _result = keccak256(abi.encode(booksHash, _root, _stateRoot));
        emit Opened(first, last, attempt, bookHashes, snapshotBlock, lead);
    }

    /// @notice Proposes the result of the opened Books, with votes of at least two thirds of all weight: after the seals and before the
    /// attempt ends, or, of challenged Books, in round 1 before its deadline. Anyone can call it. A challenge window begins.
    /// @param rs with `vss` the EIP-2098 compact signatures of the votes, in ascending order of their signers
    function propose(EpochRoot calldata r, bytes32[] calldata rs, bytes32[] calldata vss) external {
        Progress memory p = _progress;
        if (p.phase == Phase.OPEN) {
            if (block.timestamp < p.deadline) revert Settlement_NotSealed(block.timestamp, p.deadline);
            uint32 current = currentAttempt();
            if (p.attempt != current) revert Settlement_NotAttempt(p.attempt, current);
        } else if (p.phase == Phase.CHALLENGED) {
            _requireInside(p.deadline);
        } else {
            revert Settlement_WrongPhase(p.phase);
        }
        if (r.first != p.next || r.last != p.next + p.more) revert Settlement_NotOpened(r.first, r.last);
        _requireFollows(r);
        bytes32 result = resultOf(r);
        address[] memory signers =
            _requireQuorum(digestOf(r.first, p.attempt, p.round, result), rs, vss, p.weightEpoch);

        p.phase = Phase.PENDING;
        p.deadline = SafeCast.toUint40(block.timestamp + CHALLENGE_SECONDS);
        _progress = p;
        _result = result;
        emit Proposed(r.first, r.last, p.attempt, p.round, result, r.root, r.stateRoot, p.deadline, signers);
    }

    /// @notice Makes the standing result final once its window is over, and mints what the rewards grew by. Anyone can call it.
    /// @dev Fails while the budget's rate limit has not refilled or minting is paused; nothing is lost by trying later. The budget is
    /// asked also for nothing: one that serves another Settlement refuses, so nothing becomes final here any more.
    function finalize(EpochRoot calldata r) external {
        Progress memory p = _progress;
        if (p.phase != Phase.PENDING && p.phase != Phase.ESCALATED) revert Settlement_WrongPhase(p.phase);
        bytes32 result = resultOf(r);
        if (result != _result) revert Settlement_NotPending(result, _result);
        _requireOver(p.deadline);

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
        _emitFinalized(r, p.attempt);
        if (p.round != 0) CHALLENGES.ruled(r.first, p.attempt, _disputed, result);
        BUDGET.mint(r.first, r.last, growth);
    }

    /// @notice Gives up a challenged result that nobody confirmed or replaced in time, or whatever waits here once the budget serves
    /// another Settlement, so that bonds go back. Anyone can call it. The next lead opens the range again; its budget waits.
    function reject() external {
        Progress memory p = _progress;
        bool served = BUDGET.settlement() == address(this);
        if (!_waits(p.phase) || (served && p.phase != Phase.CHALLENGED)) revert Settlement_WrongPhase(p.phase);
        if (served) _requireOver(p.deadline);
        _giveUp(p);
    }

    /// @notice Has the Books of a pending result of round 0 judged again. Only CHALLENGES, which holds the bond.
    function contest(uint32 first, uint32 attempt) external {
        Progress memory p = _contested(first, attempt, Phase.PENDING);
        if (p.round != 0) revert Settlement_WrongRound(p.round);
        p.phase = Phase.CHALLENGED;
        p.round = 1;
        p.deadline = SafeCast.toUint40(block.timestamp + RECONFIRM_SECONDS);
        _progress = p;
        _disputed = _result;
        emit Challenged(first, attempt, p.deadline);
    }

    /// @notice Gives a pending result one more challenge window, because its data cannot be had. Only CHALLENGES, once an attempt.
    function extend(uint32 first, uint32 attempt) external {
        Progress memory p = _contested(first, attempt, Phase.PENDING);
        p.deadline += CHALLENGE_SECONDS;
        _progress = p;
        emit Extended(first, attempt, p.deadline);
    }

    /// @notice Asks the authority about a result of round 1. Only CHALLENGES, which holds the bond. Silence lets the result stand.
    function escalate(uint32 first, uint32 attempt) external {
        Progress memory p = _contested(first, attempt, Phase.PENDING);
        if (p.round == 0) revert Settlement_WrongRound(p.round);
        p.phase = Phase.ESCALATED;
        p.deadline = SafeCast.toUint40(block.timestamp + GOVERNANCE_SECONDS);
        _progress = p;
        emit Escalated(first, attempt, p.deadline);
    }

    /// @notice Strikes the standing or challenged result: it was disproved, or the authority says so. Only CHALLENGES.
    function strike(uint32 first, uint32 attempt) external {
        Progress memory p = _progress;
        _requireRunning(p, first, attempt);
        if (!_waits(p.phase)) revert Settlement_WrongPhase(p.phase);
        _reject(p);
    }

    /// @notice Takes over from the predecessor, once the budget serves this contract: the next epoch, the final state, the policy in
    /// force, and what customers paid for work that is in no final total. Totals begin at zero. Anyone can call it.
    /// @dev When makes no difference: from when the budget serves this contract, nothing becomes final there any more. Policies that
    /// were set there for later epochs are not taken over; the authority sets them again.
    function begin() external {
        uint32 next = _progress.next;
        if (next != NOT_BEGUN) revert Settlement_Begun(next);
        (, bytes32 stateRoot,,, uint32 first) = PREDECESSOR.finals();
        if (first == NOT_BEGUN) revert Settlement_OtherPredecessor(address(PREDECESSOR));
        _progress.next = first;
        _progress.since = SafeCast.toUint40(block.timestamp);
        _stateRoot = stateRoot;
        _setPolicy(first, PREDECESSOR.policyAt(first));
        emit Begun(first, stateRoot);
        collect();
    }

    /// @notice Fetches what was redeemed for the predecessor since. Anyone can call it.
    function collect() public {
        address served = BUDGET.settlement();
        if (served != address(this)) revert Settlement_NotServed(served);
        uint128 fees = PREDECESSOR.handOver();
        inherited += fees;
        emit Inherited(fees);
    }

    /// @notice Sends the successor, and nobody else, the payment units that are in no final total here. What still waits for its window
    /// is void: it could claim the same units, if the budget ever came back here.
    function handOver() external returns (uint128 fees) {
        address heir = BUDGET.settlement();
        if (msg.sender != heir || heir == address(this)) revert Settlement_NotServed(heir);
        Progress memory p = _progress;
        if (_waits(p.phase)) _giveUp(p);
        fees = _feesBound() - _fees.total;
        handedOver += fees;
        PAYMENT.safeTransfer(heir, fees);
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
        return (p.next, p.next + p.more, p.attempt, p.weightEpoch, _booksHash);
    }

    /// @notice The running attempt and round, and `deadline` of the phase in unix seconds: the end of the seals while OPEN, when `result`
    /// can be made final while PENDING or ESCALATED, when round 1 ends while CHALLENGED. `result` was proposed last, and
    /// means nothing while OPEN; `disputed` was challenged last.
    function pending()
        external
        view
        returns (uint32 attempt, uint32 round, uint64 deadline, bytes32 result, bytes32 disputed)
    {
        Progress memory p = _progress;
        return (p.attempt, p.round, p.deadline, _result, _disputed);
    }

    /// @notice Whose turn it is: counts up by one every ATTEMPT_SECONDS, from the time at which the next epoch was ready or the
    /// last range became final, whichever was later.
    function currentAttempt() public view returns (uint32) {
        uint256 begun = Math.max(_readyAt(_progress.next), _progress.since);
        if (block.timestamp < begun) return _progress.floor;
        return SafeCast.toUint24(_progress.floor + (block.timestamp - begun) / ATTEMPT_SECONDS);
    }

    /// @notice The hash of the policy in force in `epoch`.
    function policyAt(uint32 epoch) public view returns (bytes32) {
        return epoch >= _progress.policyFrom ? _policy : bytes32(_policies.upperLookupRecent(epoch));
    }

    /// @notice What a vote names: the EIP-712 hash of `r`, the same on every chain.
    function resultOf(EpochRoot calldata r) public pure returns (bytes32) {
        bytes memory roots =
            abi.encode(EPOCH_ROOT_TYPEHASH, r.first, r.last, r.prevRoot, r.root, r.prevStateRoot, r.stateRoot);
        bytes memory rest = abi.encode(
            r.assetRoot,
            r.verdictsHash,
            r.rewards,
            r.fees,
            keccak256(abi.encodePacked(r.bookHashes)),
            keccak256(abi.encodePacked(r.policyHashes))
        );
        return keccak256(bytes.concat(roots, rest));
    }

    /// @notice What verifiers sign: the EIP-712 digest of a vote for this contract on this chain.
    function digestOf(uint32 first, uint32 attempt, uint32 round, bytes32 result) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VOTE_TYPEHASH, first, attempt, round, result)));
    }

    function _requireOver(uint256 deadline) private view {
        if (block.timestamp < deadline) revert Settlement_InWindow(block.timestamp, deadline);
    }

    function _requireInside(uint256 deadline) private view {
        if (block.timestamp >= deadline) revert Settlement_RoundOver(block.timestamp, deadline);
    }

    /// @dev Something was proposed that is neither final nor rejected.
    function _waits(Phase phase_) private pure returns (bool) {
        return phase_ >= Phase.PENDING && phase_ <= Phase.ESCALATED;
    }

    function _giveUp(Progress memory p) private {
        _reject(p);
        if (p.round != 0) CHALLENGES.ruled(p.next, p.attempt, _disputed, 0);
    }

    function _reject(Progress memory p) private {
        p.phase = Phase.REJECTED;
        p.floor = p.attempt + 1;
        p.since = SafeCast.toUint40(block.timestamp);
        _progress = p;
        emit Rejected(p.next, p.next + p.more, p.attempt, p.round);
    }

    /// @dev The running range, if CHALLENGES asks inside its window and it is in this phase.
    function _contested(uint32 first, uint32 attempt, Phase phase_) private view returns (Progress memory p) {
        p = _progress;
        _requireRunning(p, first, attempt);
        if (p.phase != phase_) revert Settlement_WrongPhase(p.phase);
        _requireInside(p.deadline);
    }

    function _requireRunning(Progress memory p, uint32 first, uint32 attempt) private view {
        if (msg.sender != address(CHALLENGES)) revert Settlement_NotChallenges(msg.sender, address(CHALLENGES));
        if (first != p.next || attempt != p.attempt) revert Settlement_NotRunning(first, attempt, p.next, p.attempt);
    }

    /// @dev Payment units that fees can ever add up to, as far as customers paid by now.
    function _feesBound() private view returns (uint128) {
        uint128 redeemed = address(REVENUE) == address(0) ? 0 : REVENUE.redeemed(address(this));
        return inherited + redeemed - handedOver;
    }

    function _setPolicy(uint32 fromEpoch, bytes32 policyHash) private {
        _progress.policyFrom = fromEpoch;
        _policy = policyHash;
        _policies.push(fromEpoch, uint256(policyHash));
        emit PolicySet(fromEpoch, policyHash);
    }

    function _emitFinalized(EpochRoot calldata r, uint32 attempt) private {
        emit Finalized(
            r.first,
            r.last,
            attempt,
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
        // One slot instead of three; if it differs, in round 0 one of them does too.
        if (keccak256(abi.encode(booksHash, r.prevRoot, r.prevStateRoot)) != _result) _requireSame(r, booksHash);
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
        if (r.fees == _fees.total) return;
        uint128 redeemed = _feesBound();
        if (r.fees > redeemed) revert Settlement_FeesExceedRedeemed(r.fees, redeemed);
    }

    function _requireSame(EpochRoot calldata r, bytes32 booksHash) private view {
        if (booksHash != _booksHash) revert Settlement_OtherBooks(booksHash, _booksHash);
        if (r.prevRoot != _root || r.prevStateRoot != _stateRoot) {
            revert Settlement_NotFromFinal(r.prevRoot, r.prevStateRoot);
        }
    }

    function _requireQuorum(bytes32 digest, bytes32[] calldata rs, bytes32[] calldata vss, uint32 weightEpoch)
        private
        view
        returns (address[] memory signers)
    {
        uint256 n = rs.length;
        if (n != vss.length) revert Settlement_SignatureCount(n, vss.length);
        signers = new address[](n);
        address before = address(0);
        for (uint256 i = 0; i < n; ++i) {
            bytes32 r;
            bytes32 vs;
            assembly ("memory-safe") {
                r := calldataload(add(rs.offset, shl(5, i)))
                vs := calldataload(add(vss.offset, shl(5, i)))
            }
            address signer = Votes.signerOf(digest, r, vs);
            if (signer <= before) revert Settlement_SignersNotAscending(before, signer);
            assembly ("memory-safe") {
                mstore(add(add(signers, 32), shl(5, i)), signer)
            }
            before = signer;
        }
        (uint256 sum, uint256 total) = WEIGHTS.weigh(signers, weightEpoch);
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

    /// @dev A successor counts the same epochs and pays in the same assets.
    function _requireSameMoneyAndTime(Parties memory p, Clock memory clock) private view {
        Settlement before = p.predecessor;
        if (
            address(before.TOKEN()) != address(p.token) || address(before.PAYMENT()) != address(p.payment)
                || before.GENESIS() != clock.genesis || before.EPOCH_SECONDS() != clock.epochSeconds
        ) revert Settlement_OtherPredecessor(address(before));
    }

    function _requireClock(Clock memory clock) private pure {
        _requireWithin("epochSeconds", clock.epochSeconds, MIN_EPOCH_SECONDS, MAX_EPOCH_SECONDS);
        _requireWithin("challengeSeconds", clock.challengeSeconds, MIN_CHALLENGE_SECONDS, MAX_CHALLENGE_SECONDS);
        _requireWithin("graceSeconds", clock.graceSeconds, 0, clock.epochSeconds / 2);
        uint256 most = clock.epochSeconds > clock.challengeSeconds ? clock.epochSeconds - clock.challengeSeconds - 1 : 0;
        _requireWithin("attemptSeconds", clock.attemptSeconds, MIN_ATTEMPT_SECONDS, most);
        _requireWithin("sealSeconds", clock.sealSeconds, MIN_SEAL_SECONDS, clock.attemptSeconds / 2);
        _requireWithin("reconfirmSeconds", clock.reconfirmSeconds, MIN_RECONFIRM_SECONDS, MAX_RECONFIRM_SECONDS);
        _requireWithin("governanceSeconds", clock.governanceSeconds, MIN_GOVERNANCE_SECONDS, MAX_GOVERNANCE_SECONDS);
    }

    function _requireWithin(string memory name, uint256 secs, uint256 least, uint256 most) private pure {
        if (secs < least || secs > most) revert Settlement_ClockOutOfBounds(name, secs, least, most);
    }
}
