package doctor

import (
	"essworker/internal/fault"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// need is a subject the worker must be allowed to publish to, or to listen to. A denial
// shows in nothing but an error on the connection: who asked waits for an answer that
// never comes. So each is tried, with a message that has no effect.
type need struct {
	tried string // the subject of the try
	grant string // what to allow
	lost  string // what does not work without it; empty for what only this command needs
	how   way
}

// way is how a need is tried.
type way int

const (
	ask    way = iota // a question without a body; what answers it gets is not read
	mute              // the same, but nobody is to answer
	store             // a message, which is refused
	listen            // a subscription
)

// tail ends the subjects of tries that need a name nobody has.
const tail = "doctor"

// needs lists what the worker publishes to.
func (d Doctor) needs() []need {
	t := d.Topology
	asks := func(lost string, subjects ...string) (list []need) {
		for _, s := range subjects {
			list = append(list, need{tried: s, grant: s, lost: lost})
		}
		return list
	}
	list := asks("the streams cannot be checked at start", "$JS.API.INFO")
	for _, s := range t.Streams() {
		list = append(list, asks("the streams cannot be checked at start", "$JS.API.STREAM.INFO."+s)...)
	}
	list = append(list, asks("it is not known which events are done", directGet+t.ResultsStream())...)
	list = append(list, asks("letters cannot be looked up", directGet+t.LettersStream())...)
	list = append(list, fleetNeeds(t.Names)...)
	list = append(list, replayNeeds(t.Names)...)
	for _, r := range d.Routes {
		list = append(list, laneNeeds(t.Names, r.Type, r.Success, r.Failure)...)
	}
	return append(list,
		need{tried: stream.AskUser, grant: stream.AskUser},
		need{tried: directGet + t.EventsStream(), grant: directGet + t.EventsStream()},
		need{tried: consumerList + t.EventsStream(), grant: consumerList + t.EventsStream()},
	)
}

const (
	directGet    = "$JS.API.DIRECT.GET."
	consumerList = "$JS.API.CONSUMER.LIST."
)

// laneNeeds is what one event type asks for.
func laneNeeds(t topology.Names, typ, success, failure string) []need {
	at := t.EventsStream() + "." + topology.Consumer(typ)
	const untaken = "events cannot be taken"
	list := []need{
		{tried: "$JS.API.CONSUMER.INFO." + at, grant: "$JS.API.CONSUMER.INFO." + at, lost: "the streams cannot be checked at start"},
		// A request for events without a place for them to go is dropped, and so is an
		// acknowledgement of the event number 0 that says neither yes nor no.
		{tried: "$JS.API.CONSUMER.MSG.NEXT." + at, grant: "$JS.API.CONSUMER.MSG.NEXT." + at, lost: untaken, how: mute},
		{tried: "$JS.ACK." + at + ".1.0.0.0.0", grant: "$JS.ACK." + at + ".>", lost: "events cannot be acknowledged and come again for ever", how: mute},
	}
	for _, result := range []string{success, failure} {
		list = append(list, need{
			tried: t.ResultSubject(result, tail), grant: t.Results(), lost: "results cannot be stored", how: store,
		})
	}
	for _, reason := range fault.Reasons() {
		list = append(list, need{
			tried: t.LetterSubject(string(reason), typ, tail), grant: t.Letters(), lost: "letters cannot be stored", how: store,
		})
	}
	return list
}

// replayNeeds is what putting letters back asks for.
func replayNeeds(t topology.Names) []need {
	const lost = "letters cannot be replayed"
	get, remove := "$JS.API.STREAM.MSG.GET."+t.EventsStream(), "$JS.API.STREAM.MSG.DELETE."+t.LettersStream()
	back := "$JS.API.STREAM.MSG.DELETE." + t.DiscardedStream() // the copy that a discard made meanwhile
	return []need{
		{tried: t.EventSubject(tail), grant: t.EventSubject(">"), lost: lost, how: store},
		{tried: get, grant: get, lost: lost},
		{tried: remove, grant: remove, lost: lost},
		{tried: directGet + t.DiscardedStream(), grant: directGet + t.DiscardedStream(), lost: lost},
		{tried: back, grant: back, lost: lost},
	}
}

// fleetNeeds is what the workers' agreement asks for.
func fleetNeeds(t topology.Names) []need {
	const lost = "the workers cannot agree, nor count attempts"
	get, direct := "$JS.API.STREAM.MSG.GET."+t.FleetStream(), directGet+t.FleetStream()
	keys := "$KV." + t.FleetBucket() + "."
	list := []need{
		{tried: get, grant: get, lost: lost},
		{tried: direct, grant: direct, lost: lost},
		{tried: keys + tail, grant: keys + ">", lost: lost, how: store},
	}
	for _, kind := range []string{"gate.>", "tenant.>"} {
		list = append(list, need{
			tried: keys + kind, grant: keys + ">", lost: "workers learn late of what the others have agreed on", how: listen,
		})
	}
	return list
}
