package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/esssim"
	"essworker/internal/event"
	"essworker/internal/topology"
)

// MaxEvents is how many events one trial can have: their numbers must fit into made-up
// identity card numbers.
const MaxEvents = 1_000_000

// source is the CloudEvents source of every event of a trial.
const source = "/bench"

// Events makes the events of one trial: valid ones, no two alike, each of which the
// simulator carries out exactly once without being prepared for it. The type of event i
// is Types[i%len(Types)].
type Events struct {
	Names topology.Names
	Types []string // of those that Kinds lists
	run   string   // keeps two trials apart that meet the same simulator
}

// NewEvents gives the events of a trial that no other has.
func NewEvents(names topology.Names, types []string) Events {
	return Events{Names: names, Types: types, run: fmt.Sprintf("%05d", rand.IntN(100_000))} //nolint:gosec // a name
}

// kind is how an event type looks, and what the simulator's record calls it.
type kind struct {
	typ    string
	data   func(run string, i int) string
	entity func(run string, i int) string
}

// kinds has every event type a trial can be made of.
var kinds = []kind{
	{
		"employee.onboarded",
		func(run string, i int) string {
			return `{"userId":"` + employee(run, i) + `","openId":"` + openID(run, i) + `"}`
		},
		func(run string, i int) string { return esssim.BindEntity(employee(run, i), openID(run, i)) },
	},
	{
		"seal.grant.requested",
		func(run string, i int) string {
			return `{"agent":{"proxyOrganizationOpenId":"` + esssim.ClientPrefix + run + `","proxyOperator":{"openId":"` + esssim.OpenIDPrefix + run +
				`"}},"sealId":"` + esssim.SealPrefix + run + `","userIds":["` + grantee(run, i) + `"]}`
		},
		func(run string, i int) string { return esssim.GrantEntity(esssim.SealPrefix+run, grantee(run, i)) },
	},
	{
		"autosign.link.requested",
		func(run string, i int) string {
			return `{"sceneKey":"` + esssim.SceneKey + `","userInfo":{"name":"` + esssim.PersonName + `","idCardType":"` + esssim.IDCardType +
				`","idCardNumber":"` + cardNumber(run, i) + `"}}`
		},
		func(run string, i int) string {
			return esssim.LinkEntity(esssim.SceneKey, esssim.PersonName, esssim.IDCardType, cardNumber(run, i))
		},
	},
}

func employee(run string, i int) string { return esssim.EmployeePrefix + run + "b" + strconv.Itoa(i) }
func openID(run string, i int) string   { return run + "b" + strconv.Itoa(i) }
func grantee(run string, i int) string  { return esssim.EmployeePrefix + run + "g" + strconv.Itoa(i) }

func cardNumber(run string, i int) string {
	return fmt.Sprintf("%s%s%07d", esssim.IDCardNumberPrefix, run, i)
}

// Kinds lists the event types a trial can be made of.
func Kinds() []string {
	list := make([]string, len(kinds))
	for i, k := range kinds {
		list[i] = k.typ
	}
	return list
}

// kind is that of event i.
func (e Events) kind(i int) kind {
	typ := e.Types[i%len(e.Types)]
	for _, k := range kinds {
		if k.typ == typ {
			return k
		}
	}
	panic("bench: no event type " + typ) // NewEvents is given those of Kinds
}

// Message is event i, ready to be published.
func (e Events) Message(i int) (*nats.Msg, error) {
	k := e.kind(i)
	id := e.id(i)
	ev := event.New(k.typ, source, id, []byte(k.data(e.run, i)))
	ev.SetTime(time.Now().UTC())
	header, body, err := event.Write(ev)
	if err != nil {
		return nil, err
	}
	header.Set(nats.MsgIdHdr, source+"|"+id)
	return &nats.Msg{Subject: e.Names.EventSubject(k.typ), Header: header, Data: body}, nil
}

// entity is what the simulator's record calls the call for event i.
func (e Events) entity(i int) string { return e.kind(i).entity(e.run, i) }

func (e Events) id(i int) string { return "bench-" + e.run + "-" + strconv.Itoa(i) }

// number is the number of the event with this id; ok is false for any other's.
func (e Events) number(id string) (i int, ok bool) {
	digits, ours := strings.CutPrefix(id, "bench-"+e.run+"-")
	if !ours {
		return 0, false
	}
	i, err := strconv.Atoi(digits)
	return i, err == nil && i >= 0
}
