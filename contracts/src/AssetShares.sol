// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC721Receiver} from "@openzeppelin/contracts/token/ERC721/IERC721Receiver.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Assets} from "./Assets.sol";
import {Attestations} from "./Attestations.sol";
import {IFinals} from "./interfaces/IFinals.sol";

/// @title Assets that many people paid for and own together.
/// @notice First a raise: a share unit is one payment unit put in, so there is no price to round. If the raise reaches its soft cap
/// by its end, or its hard cap before, it is LIVE: no share is made or destroyed any more, and the money goes to the builder, a
/// milestone at a time, as its assets prove what they did; what is not proved by `buildEnd` is the holders'. Otherwise it is
/// REFUND: every share is worth the payment unit that it cost, for ever. Neither needs anybody to say so.
/// Once LIVE, everything that arrives in payment units or in the network's token is revenue and belongs to the holders at that
/// moment, by shares: the assets that this contract owns pay it like any owner. A holder's fraction of a unit waits for the next.
/// Nobody can move a holder's shares, stop a refund or withdrawal, change the terms, or take an asset out while LIVE.
/// @dev Each clone carries its terms in its bytecode: nothing to initialise. Both currencies are ERC-20 tokens that move exactly what
/// they are asked to; a token that takes a fee cannot be paid in, rebasing is not supported.
contract AssetShares is ERC20, IERC721Receiver, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    enum State {
        RAISE,
        LIVE,
        REFUND
    }

    /// @notice A part of the raised money and what it is paid for. Units and epochs are the asset's running totals, ever: what it did
    /// before the raise counts, and is known to whoever pays in.
    /// @param asset whose work counts, once this contract owns it; 0: paid for the raise's success alone
    /// @param amountBps part of the raised money, rounded down
    /// @param minUnits work units, ever, in the first unit of the asset's kind
    /// @param minPaidEpochs epochs in which it was paid, ever
    struct Milestone {
        bytes32 asset;
        uint16 amountBps;
        uint128 minUnits;
        uint32 minPaidEpochs;
    }

    /// @param builder who is paid the raised money, and has the assets back if the raise fails
    /// @param softCap with `hardCap` payment units: the least that makes the raise succeed, and the most that it takes
    /// @param raiseEnd unix time in seconds from which nobody can pay in
    /// @param buildEnd unix time in seconds from which what no milestone released is revenue
    /// @param topics attestations that whoever receives shares must hold
    struct Terms {
        string name;
        string symbol;
        address builder;
        uint128 softCap;
        uint128 hardCap;
        uint40 raiseEnd;
        uint40 buildEnd;
        bytes32[] topics;
        Milestone[] milestones;
    }

    /// @notice Revenue of one currency: `total` ever counted, `paid` of it to holders.
    struct Revenue {
        uint128 total;
        uint128 paid;
    }

    /// @param seen the revenue's total when the holder's shares were last looked at
    /// @param due what the holder has not withdrawn of it, in units of 1 / totalSupply(): exact, since the supply stands still
    struct Position {
        uint256 seen;
        uint256 due;
    }

    IFinals public immutable SETTLEMENT;
    Attestations public immutable ATTESTATIONS;
    Assets public immutable ASSETS;

    /// @notice The asset that is paid in and that fees come in.
    IERC20 public immutable PAYMENT;

    /// @notice The token of rewards; may be the same as PAYMENT.
    IERC20 public immutable TOKEN;
    uint8 private immutable _DECIMALS;
    address private immutable _IMPLEMENTATION = address(this);

    /// @notice What was released to the builder, in payment units.
    uint128 public released;

    /// @notice Which milestones were: bit i is milestone i.
    uint256 public releasedMilestones;

    mapping(IERC20 currency => Revenue) public revenue;
    mapping(address account => mapping(IERC20 currency => Position)) public positions;

    event Contributed(address indexed account, uint256 amount);
    event Refunded(address indexed account, uint256 amount);
    event Released(uint256 indexed milestone, uint256 amount);
    event RevenueCounted(IERC20 indexed currency, uint256 amount);
    event Withdrawn(address indexed account, IERC20 indexed currency, uint256 amount);

    error AssetShares_NotAClone();
    error AssetShares_WrongState(State state);
    error AssetShares_Nothing(address account);
    error AssetShares_OtherAmount(uint256 amount, uint256 arrived);
    error AssetShares_NotACurrency(IERC20 currency);
    error AssetShares_BadReceiver(address receiver, bytes32 missingTopic);
    error AssetShares_AlreadyReleased(uint256 milestone);
    error AssetShares_TooLate(uint256 time, uint40 buildEnd);
    error AssetShares_NotOwned(bytes32 asset, address owner);
    error AssetShares_ProofInvalid(bytes32 assetRoot);
    error AssetShares_NotReached(uint256 units, uint256 paidEpochs);
    error AssetShares_NotAnAsset(address collection);
    error AssetShares_NotBuilder(address sender, address builder);

    /// @param payment with decimals(), which are those of the shares
    constructor(IFinals settlement, Attestations attestations, Assets assets, IERC20 payment, IERC20 token) ERC20("", "") {
        SETTLEMENT = settlement;
        ATTESTATIONS = attestations;
        ASSETS = assets;
        PAYMENT = payment;
        TOKEN = token;
        _DECIMALS = IERC20Metadata(address(payment)).decimals();
    }

    /// @notice Pays in `amount` payment units, or what the hard cap leaves of it, for as many share units.
    function contribute(uint256 amount) external nonReentrant returns (uint256 taken) {
        Terms memory t = terms();
        _requireState(t, State.RAISE);
        taken = Math.min(amount, t.hardCap - totalSupply());
        if (taken == 0) revert AssetShares_Nothing(msg.sender);
        uint256 before = PAYMENT.balanceOf(address(this));
        PAYMENT.safeTransferFrom(msg.sender, address(this), taken);
        uint256 arrived = PAYMENT.balanceOf(address(this)) - before;
        if (arrived != taken) revert AssetShares_OtherAmount(taken, arrived);
        emit Contributed(msg.sender, taken);
        _mint(msg.sender, taken);
    }

    /// @notice After a failed raise, turns all of `account`'s shares back into its money. Anyone can call it.
    function refund(address account) external nonReentrant {
        _requireState(terms(), State.REFUND);
        uint256 amount = balanceOf(account);
        if (amount == 0) revert AssetShares_Nothing(account);
        _burn(account, amount);
        emit Refunded(account, amount);
        PAYMENT.safeTransfer(account, amount);
    }

    /// @notice Pays the builder for a milestone whose asset proves, from the final tree of assets, that it is reached. Anyone can
    /// call it. For a milestone without an asset, the numbers and the proof do not matter.
    /// @param units with `rewards`, `fees` and `paidEpochs` the asset's leaf: running totals, ever
    function release(
        uint256 milestone,
        uint256 units,
        uint256 rewards,
        uint256 fees,
        uint256 paidEpochs,
        bytes32[] calldata proof
    ) external nonReentrant {
        Terms memory t = terms();
        _requireState(t, State.LIVE);
        if (block.timestamp >= t.buildEnd) revert AssetShares_TooLate(block.timestamp, t.buildEnd);
        Milestone memory m = t.milestones[milestone];
        if ((releasedMilestones >> milestone) & 1 == 1) revert AssetShares_AlreadyReleased(milestone);
        if (m.asset != 0) {
            address owner = ASSETS.ownerOf(uint256(m.asset));
            if (owner != address(this)) revert AssetShares_NotOwned(m.asset, owner);
            bytes32 root = SETTLEMENT.assetRoot();
            bytes memory leaf = abi.encode(m.asset, units, rewards, fees, paidEpochs);
            if (root == 0 || !MerkleProof.verifyCalldata(proof, root, keccak256(bytes.concat(keccak256(leaf))))) {
                revert AssetShares_ProofInvalid(root);
            }
            if (units < m.minUnits || paidEpochs < m.minPaidEpochs) revert AssetShares_NotReached(units, paidEpochs);
        }
        uint256 amount = totalSupply() * m.amountBps / 10_000;
        releasedMilestones |= 1 << milestone;
        released += uint128(amount);
        emit Released(milestone, amount);
        PAYMENT.safeTransfer(t.builder, amount);
    }

    /// @notice Counts what arrived since as revenue of today's holders. Anyone can call it; transfers and withdrawals do it too.
    function sync() external nonReentrant {
        Terms memory t = terms();
        _requireState(t, State.LIVE);
        _sync(t, PAYMENT);
        _sync(t, TOKEN);
    }

    /// @notice Pays `account` all whole units of its revenue in PAYMENT or TOKEN. Anyone can call it.
    function withdraw(address account, IERC20 currency) external nonReentrant returns (uint256 amount) {
        _requireCurrency(currency);
        Terms memory t = terms();
        _requireState(t, State.LIVE);
        _sync(t, currency);
        _settle(account, currency);
        Position storage position = positions[account][currency];
        uint256 supply = totalSupply();
        amount = position.due / supply;
        if (amount == 0) revert AssetShares_Nothing(account);
        position.due -= amount * supply;
        revenue[currency].paid += uint128(amount);
        emit Withdrawn(account, currency, amount);
        currency.safeTransfer(account, amount);
    }

    /// @notice After a failed raise, gives an asset back to the builder. Anyone can call it.
    function returnAsset(bytes32 asset) external {
        Terms memory t = terms();
        _requireState(t, State.REFUND);
        ASSETS.transferFrom(address(this), t.builder, uint256(asset));
    }

    /// @notice After a failed raise, pays the builder what its assets earned here: all that is not the holders' money back.
    /// Anyone can call it.
    function returnEarnings(IERC20 currency) external nonReentrant {
        _requireCurrency(currency);
        Terms memory t = terms();
        _requireState(t, State.REFUND);
        uint256 kept = address(currency) == address(PAYMENT) ? totalSupply() : 0;
        currency.safeTransfer(t.builder, currency.balanceOf(address(this)) - kept);
    }

    /// @notice Gives an asset of this contract a new device key: its device broke. Only the builder can, who holds the device anyway;
    /// the asset's earnings stay the holders'.
    function rotateKey(bytes32 asset, uint8 curve, bytes calldata key) external {
        address builder = terms().builder;
        if (msg.sender != builder) revert AssetShares_NotBuilder(msg.sender, builder);
        ASSETS.rotateKey(asset, curve, key);
    }

    /// @notice Takes in assets, and no other collection's tokens.
    function onERC721Received(address, address, uint256, bytes calldata) external view returns (bytes4) {
        if (msg.sender != address(ASSETS)) revert AssetShares_NotAnAsset(msg.sender);
        return IERC721Receiver.onERC721Received.selector;
    }

    /// @notice What `account` could withdraw now, in units of `currency`.
    function withdrawable(address account, IERC20 currency) external view nonReentrantView returns (uint256) {
        Terms memory t = terms();
        if (_state(t) != State.LIVE) return 0;
        Position memory position = positions[account][currency];
        uint256 total = revenue[currency].total + _uncounted(t, currency);
        return (position.due + balanceOf(account) * (total - position.seen)) / totalSupply();
    }

    /// @notice Whether money can be paid in, goes to the builder and the holders, or goes back.
    function state() external view returns (State) {
        return _state(terms());
    }

    /// @notice What was agreed when the raise began; no part of it can change.
    function terms() public view returns (Terms memory) {
        if (address(this) == _IMPLEMENTATION) revert AssetShares_NotAClone();
        return abi.decode(Clones.fetchCloneArgs(address(this)), (Terms));
    }

    /// @notice The name that the terms give.
    function name() public view override returns (string memory) {
        return terms().name;
    }

    /// @notice The symbol that the terms give.
    function symbol() public view override returns (string memory) {
        return terms().symbol;
    }

    /// @notice Those of PAYMENT: a share unit cost one payment unit.
    function decimals() public view override returns (uint8) {
        return _DECIMALS;
    }

    /// @dev Guarded, so that no token's hook can move shares while money is under way.
    function transfer(address to, uint256 amount) public override nonReentrant returns (bool) {
        return super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override nonReentrant returns (bool) {
        return super.transferFrom(from, to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        Terms memory t = terms();
        if (to != address(0)) _requireReceiver(t, to);
        if (_state(t) == State.LIVE) {
            _sync(t, PAYMENT);
            _sync(t, TOKEN);
            _settle(from, PAYMENT);
            _settle(from, TOKEN);
            _settle(to, PAYMENT);
            _settle(to, TOKEN);
        }
        super._update(from, to, amount);
    }

    function _sync(Terms memory t, IERC20 currency) private {
        uint256 amount = _uncounted(t, currency);
        if (amount == 0) return;
        revenue[currency].total += uint128(amount);
        emit RevenueCounted(currency, amount);
    }

    function _settle(address account, IERC20 currency) private {
        Position storage position = positions[account][currency];
        uint256 total = revenue[currency].total;
        if (position.seen == total) return;
        position.due += balanceOf(account) * (total - position.seen);
        position.seen = total;
    }

    /// @dev What arrived and is neither escrow nor the holders' already. More than 2^128 units, ever, are not counted: the products of
    /// shares and revenue then fit, and no balance can make a transfer fail.
    function _uncounted(Terms memory t, IERC20 currency) private view returns (uint256) {
        Revenue memory r = revenue[currency];
        uint256 known = r.total - r.paid;
        bool escrows = address(currency) == address(PAYMENT) && block.timestamp < t.buildEnd;
        if (escrows) known += totalSupply() - released;
        (, uint256 arrived) = Math.trySub(currency.balanceOf(address(this)), known);
        return Math.min(arrived, type(uint128).max - r.total);
    }

    /// @dev Nothing is minted after the raise, and nothing is burnt while LIVE: the supply tells how the raise ended.
    function _state(Terms memory t) private view returns (State) {
        uint256 supply = totalSupply();
        bool over = block.timestamp >= t.raiseEnd;
        if (supply >= t.softCap && (over || supply == t.hardCap)) return State.LIVE;
        return over ? State.REFUND : State.RAISE;
    }

    function _requireState(Terms memory t, State wanted) private view {
        State current = _state(t);
        if (current != wanted) revert AssetShares_WrongState(current);
    }

    function _requireCurrency(IERC20 currency) private view {
        bool known = address(currency) == address(PAYMENT) || address(currency) == address(TOKEN);
        if (!known) revert AssetShares_NotACurrency(currency);
    }

    function _requireReceiver(Terms memory t, address to) private view {
        if (to == address(this)) revert AssetShares_BadReceiver(to, 0);
        for (uint256 i = 0; i < t.topics.length; ++i) {
            if (!ATTESTATIONS.holds(bytes32(uint256(uint160(to))), t.topics[i])) {
                revert AssetShares_BadReceiver(to, t.topics[i]);
            }
        }
    }
}
