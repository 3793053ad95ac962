// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Burning} from "./Burning.sol";
import {IBonds} from "./interfaces/IBonds.sol";
import {IChallenges} from "./interfaces/IChallenges.sol";
import {Settlement} from "./Settlement.sol";
import {Votes} from "./Votes.sol";

/// @title Who doubts a result puts a bond behind the doubt; who signed what was wrong pays for it.
/// @notice A challenge has the verifiers judge the same Books again. The same result: the bond burns. Another one: the first signers
/// lose OUTVOTED_BPS by their own signatures, once the other result is final. Nobody in time: bonds go back. A confirmed result can be
/// escalated to the authority; its silence lets the result stand. What can be proved needs no judge and no bond: two votes of one
/// signer under one name, two leaves of one account, a leaf that is lower than its final one.
/// Nothing here can keep a result from becoming final or rejected: bonds are paid back afterwards, one by one.
/// @dev What delay costs whoever only wants delay, while two thirds of the weight are honest and awake: a window for DATA_FEE; the
/// judging again and a window for `bondNow`; the authority's window for ESCALATION_BONDS bonds more; each once in an attempt, and none
/// of it can be done again before the range is final. Budgets wait meanwhile, so it costs the network time and no money. Nobody can
/// make a window shorter. With a third of the weight against it a challenged range can be rejected for ever, with the bonds given back:
/// so can any range be, by not voting for it. A dispute that its Settlement never ends, since another one took over, ends by `reject` there.
contract Challenges is IChallenges {
    using Burning for IERC20;
    using SafeERC20 for IERC20;

    /// @param token what bonds are paid in
    /// @param bonds the verifiers' stakes
    /// @param authority decides about escalated results
    /// @param guardian challenges without a bond; address(0) for nobody
    /// @param bond token units of a first challenge
    /// @param dataFee token units that asking for missing data burns; at 0 anyone doubles every window for nothing
    struct Config {
        Settlement settlement;
        IERC20 token;
        IBonds bonds;
        address authority;
        address guardian;
        uint128 bond;
        uint128 dataFee;
    }

    /// @notice How a dispute ended.
    enum Outcome {
        RUNNING,
        CONFIRMED,
        REPLACED,
        REJECTED,
        STRUCK
    }

    /// @notice One range's dispute in one attempt.
    /// @param challenger who doubted the result of round 0; `bond` is what it put behind that
    /// @param escalator who doubted the result of round 1 to the authority; `stake` is what it put behind that
    /// @param extended whether the window was prolonged because data was missing
    struct Dispute {
        address challenger;
        uint96 bond;
        address escalator;
        uint96 stake;
        Outcome outcome;
        bool extended;
    }

    /// @notice What a signer of a result loses that another one replaced, in basis points of what it has at stake.
    uint16 public constant OUTVOTED_BPS = 200;

    /// @notice What a signer of a result loses that was disproved by its leaves.
    uint16 public constant DISPROVED_BPS = 2_000;

    /// @notice What of a punishment goes to whoever challenged; so who punishes itself loses nearly all of it.
    uint256 public constant FINDER_BPS = 500;

    /// @notice An escalation costs so many bonds.
    uint256 public constant ESCALATION_BONDS = 4;

    /// @notice A challenge costs at most the bond, doubled so many times.
    uint256 public constant MAX_DOUBLINGS = 2;

    /// @notice So long after a lost challenge its doubling is over.
    uint256 public constant QUIET_SECONDS = 30 days;

    uint256 private constant WHOLE_BPS = 10_000;

    Settlement public immutable SETTLEMENT;
    IERC20 public immutable TOKEN;
    IBonds public immutable BONDS;
    address public immutable AUTHORITY;
    address public immutable GUARDIAN;
    uint128 public immutable BOND;
    uint128 public immutable DATA_FEE;

    /// @notice Disputes by range and attempt: `keyOf`.
    mapping(bytes32 key => Dispute) public disputes;

    /// @notice Results that are known to be wrong, by range and attempt: what a signer of it loses, in basis points.
    mapping(bytes32 key => mapping(bytes32 result => uint16)) public faulty;

    /// @notice Whom a range's attempt already cost.
    mapping(bytes32 key => mapping(address signer => bool)) public punished;

    /// @dev How often bonds were doubled when the last challenge was lost, and when that was.
    uint64 private _doublings;
    uint64 private _lostAt;

    event ChallengeOpened(
        uint32 indexed first, uint32 indexed attempt, address challenger, uint256 bond, string reason
    );
    event DataChallenged(uint32 indexed first, uint32 indexed attempt, address challenger, string path);
    event EscalationOpened(uint32 indexed first, uint32 indexed attempt, address escalator, uint256 bond);
    event Ruled(uint32 indexed first, uint32 indexed attempt, bytes32 disputed, bytes32 final_, Outcome outcome);
    event Faulty(uint32 indexed first, uint32 indexed attempt, bytes32 result, uint16 bps);
    event BondSettled(uint32 indexed first, uint32 indexed attempt, address to, uint256 amount, bool burned);
    event Equivocated(
        address indexed signer, uint32 first, uint32 attempt, uint32 round, bytes32 result, bytes32 other
    );
    event Punished(address indexed signer, bytes32 indexed key, bytes32 result, uint256 amount);

    error Challenges_BondZero();
    error Challenges_BondTooLarge(uint256 bond, uint256 most);
    error Challenges_AlreadyChallenged(uint32 first, uint32 attempt, address challenger);
    error Challenges_AlreadyExtended(uint32 first, uint32 attempt);
    error Challenges_NotSettlement(address sender, address settlement);
    error Challenges_NotAuthority(address sender, address authority);
    error Challenges_NotEscalated(uint32 first, uint32 attempt);
    error Challenges_BpsTooLarge(uint256 bps, uint256 most);
    error Challenges_StillRunning(uint32 first, uint32 attempt);
    error Challenges_NothingToSettle(uint32 first, uint32 attempt);
    error Challenges_SameResult(bytes32 result);
    error Challenges_OtherSigner(address signer, address other);
    error Challenges_NotFaulty(uint32 first, uint32 attempt, bytes32 result);
    error Challenges_SignatureCount(uint256 rs, uint256 vss);
    error Challenges_NobodyPunished(uint32 first, uint32 attempt);
    error Challenges_NotStanding(bytes32 result, bytes32 standing);
    error Challenges_NoContradiction(address account);
    error Challenges_ProofInvalid(bytes32 root);

    /// @param c see Config
    constructor(Config memory c) {
        if (c.bond == 0) revert Challenges_BondZero();
        uint256 most = type(uint96).max >> MAX_DOUBLINGS;
        if (c.bond > most) revert Challenges_BondTooLarge(c.bond, most);
        SETTLEMENT = c.settlement;
        TOKEN = c.token;
        BONDS = c.bonds;
        AUTHORITY = c.authority;
        GUARDIAN = c.guardian;
        BOND = c.bond;
        DATA_FEE = c.dataFee;
    }

    /// @notice Doubts the pending result of round 0: the verifiers judge its Books again. Takes `bondNow` token units.
    /// @param reason what differs, for people
    function challenge(uint32 first, uint32 attempt, string calldata reason) external {
        Dispute storage d = disputes[keyOf(first, attempt)];
        if (d.challenger != address(0)) revert Challenges_AlreadyChallenged(first, attempt, d.challenger);
        uint256 bond = msg.sender == GUARDIAN ? 0 : bondNow();
        d.challenger = msg.sender;
        d.bond = uint96(bond);
        emit ChallengeOpened(first, attempt, msg.sender, bond, reason);
        SETTLEMENT.contest(first, attempt);
        if (bond != 0) TOKEN.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice Says that a file of the pending result's Books cannot be had: burns DATA_FEE and prolongs the window, once.
    /// @param path the file's name in the archive
    function challengeData(uint32 first, uint32 attempt, string calldata path) external {
        Dispute storage d = disputes[keyOf(first, attempt)];
        if (d.extended) revert Challenges_AlreadyExtended(first, attempt);
        d.extended = true;
        emit DataChallenged(first, attempt, msg.sender, path);
        SETTLEMENT.extend(first, attempt);
        TOKEN.safeTransferFrom(msg.sender, address(this), DATA_FEE);
        TOKEN.burn(DATA_FEE);
    }

    /// @notice Doubts the result of round 1: the authority has its window to strike it. Takes ESCALATION_BONDS bonds.
    function escalate(uint32 first, uint32 attempt) external {
        Dispute storage d = disputes[keyOf(first, attempt)];
        uint256 bond = ESCALATION_BONDS * BOND;
        d.escalator = msg.sender;
        d.stake = uint96(bond);
        emit EscalationOpened(first, attempt, msg.sender, bond);
        SETTLEMENT.escalate(first, attempt);
        TOKEN.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice Strikes an escalated result: the range is opened again, and everyone who signed the result, in whichever round, can be
    /// made to pay `slashBps` of its stake. Only the authority.
    function strike(uint32 first, uint32 attempt, uint16 slashBps) external {
        if (msg.sender != AUTHORITY) revert Challenges_NotAuthority(msg.sender, AUTHORITY);
        if (slashBps > WHOLE_BPS) revert Challenges_BpsTooLarge(slashBps, WHOLE_BPS);
        if (SETTLEMENT.phase() != Settlement.Phase.ESCALATED) revert Challenges_NotEscalated(first, attempt);
        _strike(first, attempt, slashBps);
    }

    /// @inheritdoc IChallenges
    function ruled(uint32 first, uint32 attempt, bytes32 disputed, bytes32 final_) external {
        if (msg.sender != address(SETTLEMENT)) revert Challenges_NotSettlement(msg.sender, address(SETTLEMENT));
        bytes32 key = keyOf(first, attempt);
        Dispute storage d = disputes[key];
        if (final_ == 0) {
            d.outcome = Outcome.REJECTED;
        } else if (final_ == disputed) {
            d.outcome = Outcome.CONFIRMED;
            // The guardian risks nothing, so what it loses makes nobody else's doubt dearer.
            if (d.bond != 0) {
                _doublings = uint64(Math.min(_doublingsNow() + 1, MAX_DOUBLINGS));
                _lostAt = uint64(block.timestamp);
            }
        } else {
            d.outcome = Outcome.REPLACED;
            faulty[key][disputed] = OUTVOTED_BPS;
            emit Faulty(first, attempt, disputed, OUTVOTED_BPS);
        }
        emit Ruled(first, attempt, disputed, final_, d.outcome);
    }

    /// @notice Pays the bonds of a dispute that is over: back, or burned if the doubt was wrong. Anyone can call it.
    /// @dev A bond that its owner cannot receive now waits, and stands in nobody's way. The challenge was wrong if its result was
    /// confirmed; the escalation was wrong if a result became final.
    function settleBonds(uint32 first, uint32 attempt) external {
        Dispute storage d = disputes[keyOf(first, attempt)];
        Outcome outcome = d.outcome;
        if (outcome == Outcome.RUNNING) revert Challenges_StillRunning(first, attempt);
        (uint256 bond, uint256 stake) = (d.bond, d.stake);
        if (bond == 0 && stake == 0) revert Challenges_NothingToSettle(first, attempt);
        (d.bond, d.stake) = (0, 0);
        if (bond != 0 && !_settleBond(first, attempt, d.challenger, bond, outcome == Outcome.CONFIRMED)) {
            d.bond = uint96(bond);
        }
        if (stake != 0 && !_settleBond(first, attempt, d.escalator, stake, _isFinal(outcome))) {
            d.stake = uint96(stake);
        }
    }

    /// @notice Takes the whole stake of a signer that voted for two results under one (first, attempt, round). Anyone can call it.
    /// @param r with `vs` its compact signature for `result`; `otherR` with `otherVs` for `other`
    function slashEquivocation(
        uint32 first,
        uint32 attempt,
        uint32 round,
        bytes32 result,
        bytes32 r,
        bytes32 vs,
        bytes32 other,
        bytes32 otherR,
        bytes32 otherVs
    ) external {
        if (result == other) revert Challenges_SameResult(result);
        address signer = Votes.signerOf(_digestOf(first, attempt, round, result), r, vs);
        address second = Votes.signerOf(_digestOf(first, attempt, round, other), otherR, otherVs);
        if (signer != second) revert Challenges_OtherSigner(signer, second);
        emit Equivocated(signer, first, attempt, round, result, other);
        BONDS.forfeit(signer);
    }

    /// @notice Makes signers of a faulty result pay, each once for an attempt; who paid already, or has nothing, is passed over. The
    /// challenger gets FINDER_BPS of it, the rest burns. Anyone can call it; 32 fit into one transaction.
    /// @param rs with `vss` the compact signatures of votes for `result` in `round`
    function slashFaulty(
        uint32 first,
        uint32 attempt,
        uint32 round,
        bytes32 result,
        bytes32[] calldata rs,
        bytes32[] calldata vss
    ) external {
        if (rs.length != vss.length) revert Challenges_SignatureCount(rs.length, vss.length);
        bytes32 key = keyOf(first, attempt);
        uint256 bps = faulty[key][result];
        if (bps == 0) revert Challenges_NotFaulty(first, attempt, result);
        bytes32 digest = _digestOf(first, attempt, round, result);
        uint256 sum = 0;
        for (uint256 i = 0; i < rs.length; ++i) {
            address signer = Votes.signerOf(digest, rs[i], vss[i]);
            uint256 taken = _punish(key, signer, bps);
            if (taken == 0) continue;
            sum += taken;
            emit Punished(signer, key, result, taken);
        }
        if (sum == 0) revert Challenges_NobodyPunished(first, attempt);
        address finder = disputes[key].challenger;
        uint256 reward = finder == address(0) ? 0 : sum * FINDER_BPS / WHOLE_BPS;
        // A finder that cannot receive its reward must not keep anyone from being punished.
        if (reward != 0 && !TOKEN.trySafeTransfer(finder, reward)) reward = 0;
        TOKEN.burn(sum - reward);
    }

    /// @notice Strikes the standing result: two different leaves of one account are under its root. Anyone can call it, without a bond.
    /// @param r the standing result; `totals` the leaves' rewards and fees: first, second
    function disproveDuplicate(
        Settlement.EpochRoot calldata r,
        uint32 attempt,
        address account,
        uint256[4] calldata totals,
        bytes32[] calldata proof,
        bytes32[] calldata otherProof
    ) external {
        _requireStanding(r);
        if (totals[0] == totals[2] && totals[1] == totals[3]) revert Challenges_NoContradiction(account);
        _requireLeaf(r.root, account, totals[0], totals[1], proof);
        _requireLeaf(r.root, account, totals[2], totals[3], otherProof);
        _strike(r.first, attempt, DISPROVED_BPS);
    }

    /// @notice Strikes the standing result: it lowers what is final for an account. Anyone can call it, without a bond.
    /// @param r the standing result; `totals` the account's rewards and fees: final, standing
    /// @param finalProof of the leaf under the final root
    function disproveLowered(
        Settlement.EpochRoot calldata r,
        uint32 attempt,
        address account,
        uint256[4] calldata totals,
        bytes32[] calldata finalProof,
        bytes32[] calldata proof
    ) external {
        _requireStanding(r);
        if (totals[2] >= totals[0] && totals[3] >= totals[1]) revert Challenges_NoContradiction(account);
        (bytes32 finalRoot,,,,) = SETTLEMENT.finals();
        _requireLeaf(finalRoot, account, totals[0], totals[1], finalProof);
        _requireLeaf(r.root, account, totals[2], totals[3], proof);
        _strike(r.first, attempt, DISPROVED_BPS);
    }

    /// @notice What a challenge costs now: BOND, doubled for each lost challenge, at most MAX_DOUBLINGS times, and halved again for each
    /// QUIET_SECONDS since the last loss.
    /// @dev Counted in time from the loss, not in epochs: after a long dispute many epochs become final at once, so a challenger could
    /// buy its next delay at the first price with them. Waiting for the price to fall gives the network that long in peace.
    function bondNow() public view returns (uint256) {
        return uint256(BOND) << _doublingsNow();
    }

    /// @notice The name of a range's dispute in an attempt.
    function keyOf(uint32 first, uint32 attempt) public pure returns (bytes32) {
        return keccak256(abi.encode(first, attempt));
    }

    function _doublingsNow() private view returns (uint256) {
        uint256 quiet = (block.timestamp - _lostAt) / QUIET_SECONDS;
        return _doublings > quiet ? _doublings - quiet : 0;
    }

    function _isFinal(Outcome outcome) private pure returns (bool) {
        return outcome == Outcome.CONFIRMED || outcome == Outcome.REPLACED;
    }

    function _digestOf(uint32 first, uint32 attempt, uint32 round, bytes32 result) private view returns (bytes32) {
        return Votes.digestOf(address(SETTLEMENT), first, attempt, round, result);
    }

    /// @dev What it took: 0 from who paid already or has nothing.
    function _punish(bytes32 key, address signer, uint256 bps) private returns (uint256) {
        uint256 amount = Math.mulDiv(BONDS.heldOf(signer), bps, WHOLE_BPS, Math.Rounding.Ceil);
        if (amount == 0 || punished[key][signer]) return 0;
        punished[key][signer] = true;
        return BONDS.slash(signer, amount);
    }

    /// @dev Also round 0's result is faulty if round 1 confirmed it; if round 1 replaced it, only the standing one is struck.
    function _strike(uint32 first, uint32 attempt, uint16 bps) private {
        bytes32 key = keyOf(first, attempt);
        (, uint32 round,, bytes32 standing, bytes32 disputed) = SETTLEMENT.pending();
        disputes[key].outcome = Outcome.STRUCK;
        faulty[key][standing] = bps;
        emit Faulty(first, attempt, standing, bps);
        emit Ruled(first, attempt, round == 0 ? standing : disputed, 0, Outcome.STRUCK);
        SETTLEMENT.strike(first, attempt);
    }

    function _settleBond(uint32 first, uint32 attempt, address to, uint256 amount, bool lost)
        private
        returns (bool settled)
    {
        if (lost) TOKEN.burn(amount);
        else if (!TOKEN.trySafeTransfer(to, amount)) return false;
        emit BondSettled(first, attempt, to, amount, lost);
        return true;
    }

    function _requireStanding(Settlement.EpochRoot calldata r) private view {
        (,,, bytes32 standing,) = SETTLEMENT.pending();
        bytes32 result = SETTLEMENT.resultOf(r);
        if (result != standing) revert Challenges_NotStanding(result, standing);
    }

    function _requireLeaf(bytes32 root, address account, uint256 rewards, uint256 fees, bytes32[] calldata proof)
        private
        pure
    {
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(account, rewards, fees))));
        if (root == 0 || !MerkleProof.verifyCalldata(proof, root, leaf)) revert Challenges_ProofInvalid(root);
    }
}
