// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Epochs} from "./Epochs.sol";
import {Succession} from "./Succession.sol";
import {IBonds} from "./interfaces/IBonds.sol";
import {IRevenue} from "./interfaces/IRevenue.sol";
import {Token} from "./Token.sol";

/// @title Prepaid money of customers, and the vouchers that spend it.
/// @notice A customer deposits and opens lanes: each has a session key that signs vouchers, a clerk (a verifier's signer) that
/// countersigns them, and a limit that is set aside for it. A voucher carries running totals, so the newest one is worth all; anyone
/// redeems it with both signatures. A share of what is redeemed is burned or goes to the treasury, the rest to the settlement.
/// Whatever a closed lane did not spend is the customer's, with or without verifiers.
/// A clerk that countersigns vouchers that contradict each other loses the stake that stands behind the lane.
contract Channels is EIP712, IRevenue, Succession {
    using SafeERC20 for IERC20;

    /// @param payment what customers pay in; it moves exactly what it is asked to. If it is `token`, the share is burned
    /// @param token the network's token, in which clerks' stakes are
    /// @param settlement gets what is redeemed for hosts, until another one takes over
    /// @param replaceSeconds how long the announcement of another one waits; longer than lanes take to close
    /// @param bonds the clerks' stakes
    /// @param assets says who owns a harmed asset
    /// @param treasury gets the share if it is not burned
    /// @param genesis unix time in seconds at which epoch 0 begins
    /// @param closeDelaySeconds how long vouchers can be redeemed after a lane's expiry or revocation; more than two epochs
    /// @param shareBps the share of what is redeemed that is burned or goes to the treasury
    /// @param stakeUnits with `paymentUnits` how much stake must stand behind a lane's limit, as a ratio of token to payment units
    struct Config {
        IERC20 payment;
        Token token;
        address settlement;
        IBonds bonds;
        IERC721 assets;
        address authority;
        address treasury;
        uint64 genesis;
        uint32 epochSeconds;
        uint64 closeDelaySeconds;
        uint64 replaceSeconds;
        uint16 shareBps;
        uint128 stakeUnits;
        uint128 paymentUnits;
    }

    /// @notice What never changes of a lane; its id is the hash of it.
    /// @param key signs the customer's vouchers
    /// @param clerk countersigns them
    /// @param limit the most payment units that the lane can spend, ever
    /// @param expiry unix time in seconds after which nobody should serve on it
    /// @param number how many lanes the customer opened before
    struct Lane {
        address customer;
        address key;
        address clerk;
        uint128 limit;
        uint40 expiry;
        uint64 number;
    }

    /// @notice What a customer owes one asset on a lane, ever, in payment units.
    struct Line {
        bytes32 asset;
        uint128 money;
    }

    /// @notice A voucher with all its lines, and the clerk's signature of a list that holds it.
    /// @param list struct hashes of the vouchers that were countersigned together
    /// @param r with `vs` the clerk's EIP-2098 compact signature of that list
    struct Countersigned {
        uint64 seq;
        uint128 total;
        Line[] lines;
        bytes32[] list;
        bytes32 r;
        bytes32 vs;
    }

    /// @dev One slot. `closesAt` is 0 for a lane that was never opened; `ratio` is the place of the ratio it was opened at.
    struct LaneState {
        uint128 redeemed;
        uint40 closesAt;
        uint16 ratio;
        bool closed;
    }

    /// @param free payment units that no lane holds
    /// @param lanes how many lanes were opened
    struct Account {
        uint128 free;
        uint64 lanes;
    }

    struct Ratio {
        uint128 stakeUnits;
        uint128 paymentUnits;
    }

    /// @dev One slot that every redemption touches. `redeemed` is for the settlement of now; `newShareBps` acts from the epoch `shareFrom`,
    /// `shareBps` until then.
    struct Flow {
        uint128 redeemed;
        uint32 shareFrom;
        uint16 shareBps;
        uint16 newShareBps;
    }

    /// @param taken token units taken from the clerk for this lane
    /// @param left what of it is kept for harmed hosts
    /// @param since unix time in seconds of the last slash; 0 if there was none
    struct Slash {
        uint128 taken;
        uint128 left;
        uint40 since;
    }

    /// @dev A batch while it is redeemed: what holds for all of it, sums of growth and of what goes to hosts, the place of the voucher
    /// that is looked at, and the struct hashes up to there.
    struct Batch {
        bytes32 domain;
        address clerk;
        uint256 shareBps;
        uint256 growth;
        uint256 net;
        uint256 i;
        bytes32[] hashes;
    }

    uint256 private constant WHOLE_BPS = 10_000;

    /// @notice The smallest and the largest share, in basis points: something always stays with the network, so that to be one's own
    /// customer always costs.
    uint256 public constant MIN_SHARE_BPS = 100;
    uint256 public constant MAX_SHARE_BPS = WHOLE_BPS;

    /// @notice One change at most multiplies or divides the stake behind a limit by so much.
    uint256 public constant MAX_RATIO_STEP = 2;

    /// @notice The part of a slashed stake that is kept for harmed hosts, in basis points. The rest burns at once: clerk, customer and
    /// "harmed" host can be one person, who must not get everything back.
    uint256 public constant HOSTS_BPS = 5_000;

    /// @notice How long after a lane closes its clerk's stake is still held at least: time to prove a fault of the last second.
    uint256 public constant PROOF_SECONDS = 3 days;

    /// @notice How long harmed hosts can be compensated; what is left then burns.
    uint256 public constant COMPENSATION_SECONDS = 30 days;

    bytes32 public constant LINE_TYPEHASH = keccak256("Line(bytes32 asset,uint128 money)");
    bytes32 public constant VOUCHER_TYPEHASH =
        keccak256("Voucher(bytes32 lane,uint64 seq,uint128 total,Line[] lines)Line(bytes32 asset,uint128 money)");
    bytes32 public constant COUNTERSIGNED_TYPEHASH = keccak256("Countersigned(bytes32[] vouchers)");

    IERC20 public immutable PAYMENT;
    Token public immutable TOKEN;
    IBonds public immutable BONDS;
    IERC721 public immutable ASSETS;

    /// @notice The only account that may set share and ratio.
    address public immutable AUTHORITY;
    address public immutable TREASURY;
    uint64 public immutable GENESIS;
    uint32 public immutable EPOCH_SECONDS;
    uint64 public immutable CLOSE_DELAY_SECONDS;

    /// @notice Whether the share is burned; else it goes to TREASURY.
    bool public immutable BURNS;

    /// @notice Each customer's account.
    mapping(address customer => Account) public channel;

    /// @notice What changes of each lane.
    mapping(bytes32 lane => LaneState) public laneState;

    /// @notice Token units of each stake that stand behind lanes that are not closed, by the owner of the stake.
    mapping(address owner => uint256) public locked;

    /// @notice What was slashed for each lane.
    mapping(bytes32 lane => Slash) public slashes;

    /// @notice Token units with which each asset was compensated for a lane.
    mapping(bytes32 lane => mapping(bytes32 asset => uint256)) public compensated;

    Flow private _flow;

    /// @dev What was redeemed for settlements that are not served now.
    mapping(address settlement => uint128) private _redeemedFor;
    Ratio[] private _ratios;

    event Configured(address payment, bool burns, uint64 closeDelaySeconds);
    event Deposited(address indexed customer, address indexed from, uint128 amount);
    event Withdrawn(address indexed customer, uint128 amount);
    event LaneOpened(
        bytes32 indexed lane,
        address indexed customer,
        address key,
        address clerk,
        uint128 limit,
        uint40 expiry,
        uint64 number
    );
    event LaneRevoked(bytes32 indexed lane, uint40 closesAt);
    event LaneClosed(bytes32 indexed lane, uint128 unspent);
    event Redeemed(bytes32 indexed lane, uint64 seq, uint128 total, bytes32 lines, uint128 net);
    event ShareSet(uint32 fromEpoch, uint16 bps);
    event RatioSet(uint128 stakeUnits, uint128 paymentUnits);
    event ClerkSlashed(bytes32 indexed lane, address indexed clerk, uint256 amount);
    event Compensated(bytes32 indexed lane, bytes32 indexed asset, address owner, uint256 amount);
    event RestBurned(bytes32 indexed lane, uint256 amount);

    error Channels_CloseDelayTooShort(uint256 secs, uint256 mustExceed);
    error Channels_NoTreasury();
    error Channels_ShareOutOfBounds(uint256 bps, uint256 least, uint256 most);
    error Channels_RatioZero(uint256 stakeUnits, uint256 paymentUnits);
    error Channels_RatioStep(uint256 stakeUnits, uint256 paymentUnits, uint256 stakeBefore, uint256 paymentBefore);
    error Channels_NotAuthority(address sender, address authority);
    error Channels_NotAsAsked(uint256 arrived, uint256 asked);
    error Channels_TooLittleFree(uint256 amount, uint256 free);
    error Channels_EmptyLane(address key, uint128 limit);
    error Channels_ExpiryOutOfBounds(uint256 expiry, uint256 mustExceed, uint256 most);
    error Channels_StakeTooSmall(address clerk, uint256 needed, uint256 stake);
    error Channels_UnknownLane(bytes32 lane);
    error Channels_NotCustomer(address sender, address customer);
    error Channels_ClosesAnyway(bytes32 lane, uint40 closesAt);
    error Channels_NotClosable(bytes32 lane, uint40 closesAt, bool closed);
    error Channels_LengthsDiffer(
        uint256 lanes, uint256 seqs, uint256 totals, uint256 lines, uint256 rs, uint256 vss
    );
    error Channels_UnknownLaneAt(uint256 index, bytes32 lane);
    error Channels_OtherClerkAt(uint256 index, address clerk, address first);
    error Channels_AboveLimitAt(uint256 index, uint128 total, uint128 limit);
    error Channels_BadSignatureAt(uint256 index, address signer, address key);
    error Channels_BadCountersignature(address signer, address clerk);
    error Channels_NotCountersigned(bytes32 voucher);
    error Channels_NoContradiction(uint64 earlier, uint64 later);
    error Channels_NothingToSlash(bytes32 lane, uint256 taken);
    error Channels_NothingOwed(bytes32 lane, bytes32 asset);
    error Channels_NotBurnable(uint256 time, uint256 burnableAt);

    constructor(Config memory c) EIP712("Subak Channels", "1") Succession(c.settlement, c.replaceSeconds) {
        uint256 shortest = 2 * uint256(c.epochSeconds);
        if (c.closeDelaySeconds <= shortest) revert Channels_CloseDelayTooShort(c.closeDelaySeconds, shortest);
        bool burns = address(c.payment) == address(c.token);
        if (!burns && c.treasury == address(0)) revert Channels_NoTreasury();
        PAYMENT = c.payment;
        TOKEN = c.token;
        BONDS = c.bonds;
        ASSETS = c.assets;
        AUTHORITY = c.authority;
        TREASURY = c.treasury;
        GENESIS = c.genesis;
        EPOCH_SECONDS = c.epochSeconds;
        CLOSE_DELAY_SECONDS = c.closeDelaySeconds;
        BURNS = burns;
        emit Configured(address(c.payment), burns, c.closeDelaySeconds);
        _setShare(0, c.shareBps, c.shareBps);
        _setRatio(c.stakeUnits, c.paymentUnits);
    }

    /// @notice Adds `amount` payment units of the caller to a customer's free money.
    function deposit(address customer, uint128 amount) external {
        channel[customer].free += amount;
        emit Deposited(customer, msg.sender, amount);
        uint256 before = PAYMENT.balanceOf(address(this));
        PAYMENT.safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = PAYMENT.balanceOf(address(this)) - before;
        if (arrived != amount) revert Channels_NotAsAsked(arrived, amount);
    }

    /// @notice Pays the caller `amount` payment units of its free money.
    function withdraw(uint128 amount) external {
        _take(amount);
        emit Withdrawn(msg.sender, amount);
        PAYMENT.safeTransfer(msg.sender, amount);
    }

    /// @notice Opens a lane of the caller's channel and sets `limit` aside for it.
    /// @param clerk a verifier's newest signer, whose stake is behind the lane until it closes
    /// @param expiry so early that the stake is held until PROOF_SECONDS after the lane closes, even if its owner leaves now
    function openLane(address key, address clerk, uint128 limit, uint40 expiry) external returns (bytes32 id) {
        if (key == address(0) || limit == 0) revert Channels_EmptyLane(key, limit);
        uint256 closesAt = expiry + CLOSE_DELAY_SECONDS;
        uint256 held = block.timestamp + BONDS.UNBONDING_SECONDS();
        if (expiry <= block.timestamp || closesAt + PROOF_SECONDS > held) {
            revert Channels_ExpiryOutOfBounds(expiry, block.timestamp, held - PROOF_SECONDS - CLOSE_DELAY_SECONDS);
        }
        uint256 place = _ratios.length - 1;
        _lock(clerk, _stakeFor(limit, place));
        _take(limit);
        uint64 number = channel[msg.sender].lanes++;
        id = keccak256(abi.encode(msg.sender, key, clerk, limit, expiry, number));
        laneState[id] = LaneState(0, SafeCast.toUint40(closesAt), uint16(place), false);
        emit LaneOpened(id, msg.sender, key, clerk, limit, expiry, number);
    }

    /// @notice Lets a lane of the caller close CLOSE_DELAY_SECONDS from now.
    function revokeLane(Lane calldata lane) external {
        (bytes32 id, LaneState storage s) = _known(lane);
        if (msg.sender != lane.customer) revert Channels_NotCustomer(msg.sender, lane.customer);
        uint256 closesAt = block.timestamp + CLOSE_DELAY_SECONDS;
        if (closesAt >= s.closesAt) revert Channels_ClosesAnyway(id, s.closesAt);
        s.closesAt = uint40(closesAt);
        emit LaneRevoked(id, uint40(closesAt));
    }

    /// @notice Gives back what a lane did not spend, from the time at which it closes. Anyone can call it.
    function closeLane(Lane calldata lane) external {
        (bytes32 id, LaneState storage s) = _known(lane);
        if (s.closed || block.timestamp < s.closesAt) revert Channels_NotClosable(id, s.closesAt, s.closed);
        uint128 unspent = lane.limit - s.redeemed;
        s.closed = true;
        channel[lane.customer].free += unspent;
        locked[BONDS.ownerOfSigner(lane.clerk)] -= _stakeFor(lane.limit, s.ratio);
        emit LaneClosed(id, unspent);
    }

    /// @notice Redeems vouchers that one clerk countersigned together, before their lanes close. Passed over is what no longer grows and
    /// whose lane closes: a batch does not fail because a part of it was redeemed meanwhile. Anyone can call it.
    /// @param lanes with `seqs`, `totals` and `lines` the vouchers; `lines` are hashes of the EIP-712 Line[]
    /// @param rs with `vss` the session keys' EIP-2098 compact signatures of the vouchers
    /// @param clerkR with `clerkVs` the clerk's of the list of their struct hashes
    function redeemMany(
        Lane[] calldata lanes,
        uint64[] calldata seqs,
        uint128[] calldata totals,
        bytes32[] calldata lines,
        bytes32[] memory rs,
        bytes32[] memory vss,
        bytes32 clerkR,
        bytes32 clerkVs
    ) external {
        _requireLengths(lanes.length, seqs.length, totals.length, lines.length, rs.length, vss.length);
        Batch memory b = _batchOf(lanes);
        for (; b.i < lanes.length; ++b.i) {
            _redeem(lanes[b.i], seqs[b.i], totals[b.i], lines[b.i], rs[b.i], vss[b.i], b);
        }
        _requireClerk(b.hashes, clerkR, clerkVs, b.clerk);
        if (b.growth == 0) return;
        _flow.redeemed += uint128(b.net);
        PAYMENT.safeTransfer(_current, b.net);
        if (BURNS) TOKEN.burn(b.growth - b.net);
        else PAYMENT.safeTransfer(TREASURY, b.growth - b.net);
    }

    /// @notice Takes the stake behind a lane from a clerk that contradicted itself: it countersigned two vouchers of one number, or a
    /// later one with a lower total or with a line that falls or vanishes. Half burns, half is kept for harmed hosts. Anyone can call it.
    /// @dev Never more than the lane's limit at its ratio; what the clerk did not have can be taken if it has it again.
    /// @param earlier with `later` the two vouchers, in the order of their numbers
    /// @param asset whose line falls; anything if it is not about a line
    function slashClerk(Lane calldata lane, Countersigned calldata earlier, Countersigned calldata later, bytes32 asset)
        external
    {
        (bytes32 id, LaneState storage s) = _known(lane);
        (bool contradicts,) = _contradiction(id, lane.clerk, earlier, later, asset);
        if (!contradicts) revert Channels_NoContradiction(earlier.seq, later.seq);

        Slash storage slash = slashes[id];
        uint256 full = _stakeFor(lane.limit, s.ratio);
        uint256 taken = slash.taken < full ? BONDS.slash(lane.clerk, full - slash.taken) : 0;
        if (taken == 0) revert Channels_NothingToSlash(id, slash.taken);
        uint256 kept = taken * HOSTS_BPS / WHOLE_BPS;
        slash.taken += uint128(taken);
        slash.left += uint128(kept);
        slash.since = uint40(block.timestamp);
        emit ClerkSlashed(id, lane.clerk, taken);
        TOKEN.burn(taken - kept);
    }

    /// @notice Pays the owner of a harmed asset what its line differs between two vouchers that contradict each other, at the hosts' part
    /// of the lane's ratio, as long as something is left of the slashed stake. Anyone can call it.
    /// @dev Every asset can show the pair that harmed it most: only what exceeds what it got is paid.
    /// @param earlier with `later` such a pair, as for `slashClerk`
    function compensate(Lane calldata lane, Countersigned calldata earlier, Countersigned calldata later, bytes32 asset)
        external
    {
        (bytes32 id, LaneState storage s) = _known(lane);
        (, uint256 harm) = _contradiction(id, lane.clerk, earlier, later, asset);
        Ratio memory r = _ratios[s.ratio];
        uint256 owed = Math.mulDiv(harm * r.stakeUnits, HOSTS_BPS, uint256(r.paymentUnits) * WHOLE_BPS);
        uint256 had = compensated[id][asset];
        Slash storage slash = slashes[id];
        uint256 amount = owed > had ? Math.min(owed - had, slash.left) : 0;
        if (amount == 0) revert Channels_NothingOwed(id, asset);
        compensated[id][asset] = had + amount;
        slash.left -= uint128(amount);
        address owner = ASSETS.ownerOf(uint256(asset));
        emit Compensated(id, asset, owner, amount);
        IERC20(TOKEN).safeTransfer(owner, amount);
    }

    /// @notice Burns what harmed hosts left of a slashed stake, COMPENSATION_SECONDS after the slash. Anyone can call it.
    function burnRest(Lane calldata lane) external {
        bytes32 id = laneId(lane);
        Slash storage slash = slashes[id];
        uint256 burnableAt = slash.since + COMPENSATION_SECONDS;
        if (slash.since == 0 || block.timestamp < burnableAt) revert Channels_NotBurnable(block.timestamp, burnableAt);
        uint256 amount = slash.left;
        slash.left = 0;
        emit RestBurned(id, amount);
        TOKEN.burn(amount);
    }

    /// @notice Sets the share of what is redeemed that is burned or goes to the treasury, from the next epoch.
    function setShare(uint16 bps) external {
        _requireAuthority();
        _setShare(Epochs.current(GENESIS, EPOCH_SECONDS) + 1, shareBps(), bps);
    }

    /// @notice Sets how much stake must stand behind a limit, for lanes that are opened from now on: at least half of what it was, and
    /// at most twice as much.
    function setRatio(uint128 stakeUnits, uint128 paymentUnits) external {
        _requireAuthority();
        _setRatio(stakeUnits, paymentUnits);
    }

    /// @notice Whom hosts' money goes to now.
    function settlement() external view returns (address) {
        return _current;
    }

    /// @inheritdoc IRevenue
    function redeemed(address settlement_) external view returns (uint128) {
        return settlement_ == _current ? _flow.redeemed : _redeemedFor[settlement_];
    }

    /// @notice The share that acts now, in basis points.
    function shareBps() public view returns (uint16) {
        return Epochs.current(GENESIS, EPOCH_SECONDS) < _flow.shareFrom ? _flow.shareBps : _flow.newShareBps;
    }

    /// @notice The ratio for lanes that are opened now.
    function ratio() external view returns (uint128 stakeUnits, uint128 paymentUnits) {
        Ratio memory r = _ratios[_ratios.length - 1];
        return (r.stakeUnits, r.paymentUnits);
    }

    /// @notice The id of a lane, whether it was opened or not.
    function laneId(Lane calldata lane) public pure returns (bytes32 id) {
        // keccak256(abi.encode(lane)), but for dirty upper bits, which no lane that was opened has; it saves a fiftieth of a redemption.
        assembly ("memory-safe") {
            let words := mload(0x40)
            calldatacopy(words, lane, 192)
            id := keccak256(words, 192)
        }
    }

    function _authority() internal view override returns (address) {
        return AUTHORITY;
    }

    function _leaving(address before, address next) internal override {
        _redeemedFor[before] = _flow.redeemed;
        _flow.redeemed = _redeemedFor[next];
    }

    function _setShare(uint32 fromEpoch, uint16 before, uint16 bps) private {
        if (bps < MIN_SHARE_BPS || bps > MAX_SHARE_BPS) {
            revert Channels_ShareOutOfBounds(bps, MIN_SHARE_BPS, MAX_SHARE_BPS);
        }
        (_flow.shareFrom, _flow.shareBps, _flow.newShareBps) = (fromEpoch, before, bps);
        emit ShareSet(fromEpoch, bps);
    }

    function _setRatio(uint128 stakeUnits, uint128 paymentUnits) private {
        if (stakeUnits == 0 || paymentUnits == 0) revert Channels_RatioZero(stakeUnits, paymentUnits);
        uint256 count = SafeCast.toUint16(_ratios.length);
        if (count != 0) {
            Ratio memory r = _ratios[count - 1];
            (uint256 next, uint256 before) =
                (uint256(stakeUnits) * r.paymentUnits, uint256(r.stakeUnits) * paymentUnits);
            if (next > MAX_RATIO_STEP * before || before > MAX_RATIO_STEP * next) {
                revert Channels_RatioStep(stakeUnits, paymentUnits, r.stakeUnits, r.paymentUnits);
            }
        }
        _ratios.push(Ratio(stakeUnits, paymentUnits));
        emit RatioSet(stakeUnits, paymentUnits);
    }

    /// @dev Takes `amount` of the caller's free money.
    function _take(uint128 amount) private {
        uint128 free = channel[msg.sender].free;
        if (amount > free) revert Channels_TooLittleFree(amount, free);
        channel[msg.sender].free = free - amount;
    }

    /// @dev By owner, not by signer: who replaces its signer has no second stake.
    function _lock(address clerk, uint256 amount) private {
        address owner = BONDS.ownerOfSigner(clerk);
        uint256 needed = locked[owner] + amount;
        uint256 stake = BONDS.stakeOf(clerk);
        if (needed > stake) revert Channels_StakeTooSmall(clerk, needed, stake);
        locked[owner] = needed;
    }

    function _batchOf(Lane[] calldata lanes) private view returns (Batch memory b) {
        (b.domain, b.clerk, b.shareBps) = (_domainSeparatorV4(), lanes[0].clerk, shareBps());
        b.hashes = new bytes32[](lanes.length);
    }

    /// @dev Redeems voucher `b.i` of a batch and notes its struct hash; passes over what does not grow or came too late.
    function _redeem(
        Lane calldata lane,
        uint64 seq,
        uint128 total,
        bytes32 lines,
        bytes32 r,
        bytes32 vs,
        Batch memory b
    ) private {
        if (lane.clerk != b.clerk) revert Channels_OtherClerkAt(b.i, lane.clerk, b.clerk);
        bytes32 id = laneId(lane);
        bytes32 hash = _voucherHash(id, seq, total, lines);
        b.hashes[b.i] = hash;
        uint128 growth = _grow(id, total, lane.limit, b.i);
        if (growth == 0) return;
        _requireKey(MessageHashUtils.toTypedDataHash(b.domain, hash), r, vs, lane.key, b.i);
        uint128 net = _split(growth, b);
        emit Redeemed(id, seq, total, lines, net);
    }

    function _requireKey(bytes32 digest, bytes32 r, bytes32 vs, address key, uint256 i) private pure {
        (address signer,,) = ECDSA.tryRecover(digest, r, vs);
        if (signer != key) revert Channels_BadSignatureAt(i, signer, key);
    }

    /// @dev What `total` adds to its lane; 0 if the voucher is to be passed over.
    function _grow(bytes32 id, uint128 total, uint128 limit, uint256 i) private returns (uint128 growth) {
        LaneState storage s = laneState[id];
        (uint128 before, uint40 closesAt) = (s.redeemed, s.closesAt);
        if (closesAt == 0) revert Channels_UnknownLaneAt(i, id);
        if (block.timestamp >= closesAt || total <= before) return 0;
        if (total > limit) revert Channels_AboveLimitAt(i, total, limit);
        s.redeemed = total;
        return total - before;
    }

    /// @dev What of `growth` goes to hosts; the share is rounded up.
    function _split(uint128 growth, Batch memory b) private pure returns (uint128 net) {
        net = growth - uint128((growth * b.shareBps + WHOLE_BPS - 1) / WHOLE_BPS);
        b.growth += growth;
        b.net += net;
    }

    /// @dev Whether two countersigned vouchers contradict each other, and how far an asset's line differs to its harm: any difference
    /// if they have one number, else what it falls.
    function _contradiction(
        bytes32 id,
        address clerk,
        Countersigned calldata earlier,
        Countersigned calldata later,
        bytes32 asset
    ) private view returns (bool contradicts, uint256 harm) {
        if (earlier.seq > later.seq) revert Channels_NoContradiction(earlier.seq, later.seq);
        bool sameNumber = earlier.seq == later.seq;
        bool differ = _countersigned(id, clerk, earlier) != _countersigned(id, clerk, later);
        uint256 was = _moneyOf(earlier.lines, asset);
        uint256 is_ = _moneyOf(later.lines, asset);
        if (is_ < was) harm = was - is_;
        else if (sameNumber) harm = is_ - was;
        contradicts = harm != 0 || (sameNumber ? differ : later.total < earlier.total);
    }

    /// @dev The voucher's struct hash, which the clerk's signed list holds.
    function _countersigned(bytes32 id, address clerk, Countersigned calldata c) private view returns (bytes32 hash) {
        hash = _voucherHash(id, c.seq, c.total, _linesHash(c.lines));
        bool found = false;
        for (uint256 i = 0; i < c.list.length && !found; ++i) {
            found = c.list[i] == hash;
        }
        if (!found) revert Channels_NotCountersigned(hash);
        _requireClerk(c.list, c.r, c.vs, clerk);
    }

    function _requireClerk(bytes32[] memory list, bytes32 r, bytes32 vs, address clerk) private view {
        bytes32 hash = keccak256(abi.encode(COUNTERSIGNED_TYPEHASH, keccak256(abi.encodePacked(list))));
        (address signer,,) = ECDSA.tryRecover(_hashTypedDataV4(hash), r, vs);
        if (signer != clerk || signer == address(0)) revert Channels_BadCountersignature(signer, clerk);
    }

    function _known(Lane calldata lane) private view returns (bytes32 id, LaneState storage s) {
        id = laneId(lane);
        s = laneState[id];
        if (s.closesAt == 0) revert Channels_UnknownLane(id);
    }

    /// @dev Token units behind a limit, rounded up.
    function _stakeFor(uint128 limit, uint256 place) private view returns (uint256) {
        Ratio memory r = _ratios[place];
        return Math.ceilDiv(uint256(limit) * r.stakeUnits, r.paymentUnits);
    }

    function _requireAuthority() private view {
        if (msg.sender != AUTHORITY) revert Channels_NotAuthority(msg.sender, AUTHORITY);
    }

    function _requireLengths(uint256 lanes, uint256 seqs, uint256 totals, uint256 lines, uint256 rs, uint256 vss)
        private
        pure
    {
        bool same = lanes == seqs && lanes == totals && lanes == lines && lanes == rs && lanes == vss;
        if (lanes == 0 || !same) revert Channels_LengthsDiffer(lanes, seqs, totals, lines, rs, vss);
    }

    function _linesHash(Line[] calldata lines) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](lines.length);
        for (uint256 i = 0; i < lines.length; ++i) {
            hashes[i] = keccak256(abi.encode(LINE_TYPEHASH, lines[i].asset, lines[i].money));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _voucherHash(bytes32 id, uint64 seq, uint128 total, bytes32 lines) private pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPEHASH, id, seq, total, lines));
    }

    function _moneyOf(Line[] calldata lines, bytes32 asset) private pure returns (uint256) {
        for (uint256 i = 0; i < lines.length; ++i) {
            if (lines[i].asset == asset) return lines[i].money;
        }
        return 0;
    }
}
