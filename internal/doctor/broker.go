package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"essworker/internal/stream"
	"essworker/internal/topology"
)

const (
	// slowTrip is when a round trip counts as long: an event costs about four of them.
	slowTrip = 100 * time.Millisecond
	// loginEnds is how long before its end a login is spoken of.
	loginEnds = 14 * 24 * time.Hour
)

// broker is one look at the NATS side.
type broker struct {
	Doctor
	tell   tell
	nc     *nats.Conn
	js     jetstream.JetStream
	denied map[string]bool // subjects this user may not publish to, of those that were tried

	streams   map[string]*jetstream.StreamInfo   // those that exist and answer, by name
	consumers map[string]*jetstream.ConsumerInfo // the same, of the events stream
	partly    bool                               // some of them could not be read
	heads     map[string]peeked                  // the oldest events of each type, as far as they may be seen
}

// broker goes from the connection inwards and stops where nothing further can be seen.
func (d Doctor) broker(ctx context.Context, t tell) {
	nc, err := d.open(ctx)
	if err != nil {
		d.unconnected(t, err)
		return
	}
	defer nc.Close()
	b := &broker{Doctor: d, tell: t, nc: nc}
	if b.js, err = jetstream.New(nc); err != nil {
		t.bad("connection", "report this", "%v", err)
		return
	}
	if !b.connection() || !b.trip(ctx) || !b.permissions(ctx) {
		return
	}
	b.login(ctx)
	if !b.account(ctx) || !b.look(ctx) {
		return
	}
	b.settings(ctx)
	b.copies()
	b.sync(ctx)
	b.clock(ctx)
	b.lanes(ctx, b.fleet(ctx))
	b.stranded(ctx)
	b.letters(ctx)
}

func (d Doctor) open(ctx context.Context) (*nats.Conn, error) {
	ctx, cancel := d.patient(ctx)
	defer cancel()
	return d.Connect(ctx)
}

func (d Doctor) unconnected(t tell, err error) {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		t.bad("connection", "check NATS_URL, and whether what listens there is a NATS server, overloaded or frozen", "%v", err)
	case errors.Is(err, nats.ErrNoServers):
		t.bad("connection", "see that it runs and that this machine reaches it", "%v", err)
	case errors.Is(err, nats.ErrAuthorization):
		t.bad("connection", "check NATS_CREDS, NATS_NKEY, NATS_USER and NATS_PASSWORD", "%v", err)
	default:
		t.bad("connection", "check NATS_URL, NATS_CA, NATS_CERT and NATS_KEY", "%v", err)
	}
}

// connection says where we are, and whether the server is new enough.
func (b *broker) connection() (ok bool) {
	who := "server"
	if name := b.nc.ConnectedServerName(); name != b.nc.ConnectedServerId() { // else nobody gave it one
		who += " " + name
	}
	if c := b.nc.ConnectedClusterName(); c != "" {
		who += " of cluster " + c
	}
	b.tell.ok("connection", "%s at %s", who, b.nc.ConnectedUrlRedacted())
	version := b.nc.ConnectedServerVersion()
	if older(version, topology.MinServer) {
		b.tell.bad("server version", "upgrade the server to "+topology.MinServer+" or newer",
			"%s: keys that expire one by one and lookups of many subjects at once, which the worker needs, came with 2.11", version)
		return false
	}
	b.tell.ok("server version", "%s, at least %s is needed", version, topology.MinServer)
	return true
}

// older compares versions by their first three numbers; what is none, as at the end of
// a release candidate's, counts as 0.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1]), cmp.Compare(x[2], y[2])) < 0
}

func numbers(version string) (n [3]int) {
	for i, part := range strings.SplitN(version, ".", len(n)) {
		n[i], _ = strconv.Atoi(part)
	}
	return n
}

// trip measures the way to the server and back, the shortest of three.
func (b *broker) trip(ctx context.Context) bool {
	ctx, cancel := b.patient(ctx)
	defer cancel()
	shortest := b.Patience
	for range 3 {
		began := time.Now()
		if err := b.nc.FlushWithContext(ctx); err != nil {
			b.tell.bad("round trip", "see whether the server is overloaded, frozen or cut off", "the server took the connection and does not answer within %v", b.Patience)
			return false
		}
		shortest = min(shortest, time.Since(began))
	}
	if shortest >= slowTrip {
		b.tell.warn("round trip", "run the worker nearer to its server", "%v: an event takes about four of them", brief(shortest))
	} else {
		b.tell.ok("round trip", "%v", brief(shortest))
	}
	return true
}

// login says who we are to the server, as far as it tells.
func (b *broker) login(ctx context.Context) {
	if b.denied[stream.AskUser] {
		return
	}
	ctx, cancel := b.patient(ctx)
	defer cancel()
	msg, err := b.nc.RequestWithContext(ctx, stream.AskUser, nil)
	if err != nil {
		return // a server may be told not to tell
	}
	var answer struct {
		Data struct {
			User        string        `json:"user"`
			Name        string        `json:"user_name"`
			Account     string        `json:"account"`
			AccountName string        `json:"account_name"`
			Expires     time.Duration `json:"expires"`
		} `json:"data"`
	}
	if json.Unmarshal(msg.Data, &answer) != nil || answer.Data.Account == "" {
		return
	}
	who := answer.Data
	found := "account " + cmp.Or(who.AccountName, who.Account)
	if user := cmp.Or(who.Name, who.User); user != "" {
		found = "user " + user + ", " + found
	}
	switch {
	case who.Expires == 0:
		b.tell.ok("login", "%s", found)
	case who.Expires < loginEnds:
		b.tell.warn("login", "renew the credentials: NATS_CREDS is read again at each reconnect", "%s, ends in %s", found, age(who.Expires))
	default:
		b.tell.ok("login", "%s, for another %s", found, age(who.Expires))
	}
}

// What of a limit may be used before it is spoken of, and before it is bad.
const (
	muchUsed = 0.80
	fullUsed = 0.95
)

// account looks at what JetStream lets this account have.
func (b *broker) account(ctx context.Context) bool {
	if b.denied["$JS.API.INFO"] {
		return true // said already
	}
	ctx, cancel := b.patient(ctx)
	defer cancel()
	info, err := b.js.AccountInfo(ctx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		b.tell.bad("jetstream", "turn it on with `jetstream: enabled` in the account, or use a login of another account", "this NATS account has no JetStream")
		return false
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		b.tell.bad("jetstream", "start the server with `nats-server -js` or a `jetstream {}` block", "this NATS server has no JetStream")
		return false
	case err != nil:
		b.tell.bad("jetstream", "see whether the cluster has a majority of its servers: `nats server report jetstream`", "%s", b.silence(err))
		return false
	}
	tiers := info.Tiers
	if len(tiers) == 0 {
		tiers = map[string]jetstream.Tier{"": info.Tier}
	}
	var list []used
	for name, tier := range tiers {
		list = append(
			list,
			used{"storage" + in(name), tier.Store, tier.Limits.MaxStore, size},
			used{"streams" + in(name), uint64(tier.Streams), int64(tier.Limits.MaxStreams), count},       //nolint:gosec // a count
			used{"consumers" + in(name), uint64(tier.Consumers), int64(tier.Limits.MaxConsumers), count}, //nolint:gosec // a count
		)
	}
	b.room("account", list...)
	return true
}

func in(tier string) string {
	if tier == "" {
		return ""
	}
	return " in tier " + tier
}

// used is how much of something is taken. A limit below one is none.
type used struct {
	what  string
	taken uint64
	limit int64
	show  func(uint64) string
}

// room speaks of what fills up, and else of all on one line.
func (b *broker) room(check string, list ...used) (enough bool) {
	const advice = "raise the limit or make room: what is full refuses results and letters, and lanes stop"
	var plenty []string
	limits := "; no limits are set"
	for _, u := range list {
		if u.limit < 1 {
			plenty = append(plenty, u.what+" "+u.show(u.taken))
			continue
		}
		limits = ""
		found := fmt.Sprintf("%s %s of %s", u.what, u.show(u.taken), u.show(uint64(u.limit)))
		switch share := float64(u.taken) / float64(u.limit); {
		case share >= fullUsed:
			b.tell.bad(check, advice, "%s", found)
		case share >= muchUsed:
			b.tell.warn(check, advice, "%s", found)
		default:
			plenty = append(plenty, found)
		}
	}
	if len(plenty) < len(list) {
		return false
	}
	b.tell.ok(check, "%s%s", strings.Join(plenty, ", "), limits)
	return true
}

// silence says in words what a request came to that nobody answered.
func (d Doctor) silence(err error) string {
	switch api, ok := errors.AsType[*jetstream.APIError](err); {
	case ok && api.ErrorCode == noLeader:
		return "there is no leader at the moment"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Sprintf("no answer within %v", d.Patience)
	default:
		return err.Error()
	}
}

// noLeader is the server's error code for a cluster or a group of copies without one,
// as `nats errors lookup` knows it.
const noLeader = 10008
