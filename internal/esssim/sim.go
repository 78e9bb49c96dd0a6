// Package esssim is the vendor, in memory: it answers the e-sign actions this
// project calls as the vendor's documentation says they are answered, over
// sockets (http.Handler) or without them (http.RoundTripper), and it misbehaves
// on request.
//
// Its one rule: it imports none of our packages. Signature check, schema, state
// and texts were written from the vendor's documentation alone, so that a
// mistake of our client cannot hide behind the same mistake here.
//
// What the vendor documents nowhere is a convention of this simulator, and every
// text it had to invent ends in "[sim]", so that nobody matches on it. README.md
// has the seeded entities, the faults and the limits.
package esssim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config sets up a Sim. The zero value is a vendor without limits that records
// the last 100,000 calls.
type Config struct {
	Rate     int  `name:"rate" default:"20" help:"Calls per calendar second and action; 0 is no limit."`
	UinRate  int  `name:"uin-rate" default:"0" help:"Calls per calendar second of one main account, all actions together; 0 is no limit."`
	IPRate   int  `name:"ip-rate" default:"0" help:"Calls per calendar second from one address; 0 is no limit."`
	NoRecord bool `name:"no-record" help:"Keep counters only, no record of calls and no commits by entity (for benchmarks)."`
	MaxCalls int  `name:"max-calls" default:"100000" help:"Calls kept in the record, oldest dropped first; 0 is 100000."`

	// The vendor does not say what Bind does with an employee who has another
	// OpenId already. Here it is refused, unless this is set.
	OverwriteBinding bool `name:"overwrite-binding" help:"Let Bind replace an employee's OpenId instead of refusing."`
	// The vendor does not say whether one unknown id spoils a whole grant. Here it
	// does, unless this is set.
	SkipUnknownUsers bool `name:"skip-unknown-users" help:"Let a seal grant skip unknown users instead of refusing the call."`
}

// defaultMaxCalls bounds the record where Config does not.
const defaultMaxCalls = 100_000

// Validate reports the first setting that makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Rate < 0:
		return errors.New("--rate: must be 0 (no limit) or more")
	case c.UinRate < 0:
		return errors.New("--uin-rate: must be 0 (no limit) or more")
	case c.IPRate < 0:
		return errors.New("--ip-rate: must be 0 (no limit) or more")
	case c.MaxCalls < 0:
		return errors.New("--max-calls: must be 0 (the default) or more")
	}
	return nil
}

// Sim is one vendor with its state. Make it with New. All methods are safe for
// concurrent use, and none waits while it holds the lock, so a Sim works inside
// a testing/synctest bubble.
type Sim struct {
	cfg     Config
	signing signingKeys

	mu      sync.Mutex // guards everything below
	keys    map[string]Key
	world   world
	windows map[windowKey]*window
	faults  []*armed
	lastID  int // of the faults
	record  record
	rng     *rand.Rand // RequestIds and link tokens
}

// New gives a vendor with the seeded state: the entities named by the constants
// of this package, and one key, SecretID and SecretKey.
func New(cfg Config) *Sim {
	cfg.MaxCalls = cmp.Or(cfg.MaxCalls, defaultMaxCalls)
	s := &Sim{
		cfg:     cfg,
		keys:    map[string]Key{},
		world:   seed(),
		windows: map[windowKey]*window{},
		record:  newRecord(cfg),
		// Seeded by the clock: ids differ between runs of a program, yet repeat in a
		// bubble, where the clock always starts at the same moment.
		rng: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0x9e3779b97f4a7c15)), //nolint:gosec // made-up ids, not secrets
	}
	s.AddKey(Key{SecretID: SecretID, SecretKey: SecretKey})
	return s
}

// Key is a credential the vendor knows.
type Key struct {
	SecretID  string
	SecretKey string

	Token   string    // for a temporary key: what X-TC-Token must say
	Expires time.Time // for a temporary key: when it ends; zero is never

	Actions    []string // what the key may call (CAM); empty is everything
	AllowIPs   []string // the only addresses it may come from; empty is any
	DenyIPs    []string // addresses it may not come from
	SubAccount string   // whose quota a call uses; keys without one share the main account's
	Account    string   // the main account, for Config.UinRate; empty is the one all seeded keys have
}

// mainAccount owns every key that names no other.
const mainAccount = "100000000001"

// AddKey makes a credential known. A key with the same SecretID is replaced,
// which is how a rotation is played.
func (s *Sim) AddKey(k Key) {
	k.Account = cmp.Or(k.Account, mainAccount)
	k.SubAccount = cmp.Or(k.SubAccount, k.Account)
	k.Actions = slices.Clone(k.Actions)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.SecretID] = k
}

// RemoveKey makes the vendor forget a credential, as when it was deleted.
func (s *Sim) RemoveKey(secretID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, secretID)
}

// BindEntity is the Entity of a call that binds openID to userID.
func BindEntity(userID, openID string) string { return "bind:" + userID + ":" + openID }

// GrantEntity is the Entity of a call that grants a seal to these ids, as they
// were sent. Their order and repetitions do not matter.
func GrantEntity(sealID string, ids ...string) string {
	sorted := slices.Sorted(slices.Values(ids))
	return "grant:" + sealID + ":" + strings.Join(slices.Compact(sorted), ":")
}

// LinkEntity is the Entity of a call that makes a link for this person: a hash,
// since the record never holds a name or a number.
func LinkEntity(scene, name, idCardType, idCardNumber string) string {
	sum := sha256.Sum256([]byte(scene + "\x00" + idCardType + "\x00" + idCardNumber + "\x00" + name))
	return "link:" + hex.EncodeToString(sum[:12])
}
