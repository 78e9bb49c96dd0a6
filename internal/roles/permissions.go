package roles

import (
	"essworker/internal/fleet"
	"essworker/internal/stream"
	"essworker/internal/topology"
)

// The server's API.
const (
	api       = "$JS.API."
	direct    = api + "DIRECT.GET."
	account   = api + "INFO"
	streams   = api + "STREAM."
	consumers = api + "CONSUMER."
)

// publisher stores events and hears that they are stored; that is all.
func (d Deployment) publisher() Permissions {
	return Permissions{Publish: d.events()}
}

// worker is the whole path of an event, and replays. That it looks at the streams is
// its check at the start, that they are what it needs.
func (d Deployment) worker() Permissions {
	may := append([]string{account, stream.AskUser}, d.looks()...)
	for _, r := range d.Routes {
		may = append(may, consumers+"MSG.NEXT."+d.lane(r.Type))
		may = append(may, acks(d.lane(r.Type))...)
	}
	may = append(may, d.results()...)
	may = append(may, d.letters()...)
	may = append(may, d.events()...) // replays
	return Permissions{
		Publish: append(may,
			direct+d.ResultsStream(), direct+d.LettersStream(), direct+d.EventsStream(),
			streams+"MSG.GET."+d.EventsStream(),     // a replay asks what became of the event before
			streams+"MSG.DELETE."+d.LettersStream(), // a letter goes once it was replayed
			consumers+"LIST."+d.EventsStream(),      // the doctor looks for consumers that stand in the way
			direct+d.FleetStream(), direct+d.FleetStream()+".>", streams+"MSG.GET."+d.FleetStream(),
			d.records(">"),
		),
		Subscribe: []string{d.records(">")},
	}
}

// subscriber may not make its consumer: who makes one says where the server sends
// messages, and may send them to any subject.
func (d Deployment) subscriber() Permissions {
	at := d.ResultsStream() + "." + d.Subscriber
	return Permissions{Publish: append(acks(at), consumers+"INFO."+at, consumers+"MSG.NEXT."+at)}
}

// viewer reads by direct get only. A consumer of its own would be quicker for many
// letters, but who may make one may have the server publish for him.
func (d Deployment) viewer() Permissions {
	may := append([]string{account, stream.AskUser}, d.looks()...)
	for _, s := range d.Streams() {
		may = append(may, direct+s)
	}
	return Permissions{Publish: append(may,
		direct+d.FleetStream()+".>", streams+"MSG.GET."+d.FleetStream(), streams+"MSG.GET."+d.EventsStream(),
	)}
}

// operator is a viewer who may also change what operators change. Of the fleet's
// records that is all but what the workers alone write.
func (d Deployment) operator() Permissions {
	may := d.viewer().Publish
	for _, r := range d.Routes {
		may = append(may, consumers+"PAUSE."+d.lane(r.Type), d.DiscardedSubject("*", r.Type, "*"))
	}
	may = append(may, d.events()...)  // edited
	may = append(may, d.letters()...) // restored and imported
	may = append(may, d.results()...) // dlq check --fix tells a failure that was not told
	may = append(may, d.AuditSubject(">"), d.records(">"))
	for _, s := range []string{d.LettersStream(), d.DiscardedStream(), d.EventsStream()} {
		may = append(may, streams+"MSG.DELETE."+s)
	}
	for _, s := range []string{d.LettersStream(), d.DiscardedStream(), d.ResultsStream()} { // consumers for as long as a command reads
		may = append(may, consumers+"CREATE."+s+".>", consumers+"INFO."+s+".*", consumers+"MSG.NEXT."+s+".*", consumers+"DELETE."+s+".*")
	}
	at := d.ResultsStream() + "." + d.Subscriber
	deny := []string{consumers + "CREATE." + at, consumers + "CREATE." + at + ".>", consumers + "MSG.NEXT." + at, consumers + "DELETE." + at}
	for _, keys := range fleet.WorkersKeys() {
		deny = append(deny, d.records(keys))
	}
	return Permissions{Publish: may, Deny: deny}
}

// provisioner makes what there is to be made. It cannot delete a stream or a consumer,
// nor a message, nor read one.
func (d Deployment) provisioner() Permissions {
	may := append([]string{account, stream.AskUser}, d.looks()...)
	for _, s := range d.Streams() {
		may = append(may, streams+"CREATE."+s, streams+"UPDATE."+s)
	}
	for _, r := range d.Routes {
		may = append(may, consumers+"CREATE."+d.lane(r.Type)+".>")
	}
	at := d.ResultsStream() + "." + d.Subscriber
	return Permissions{Publish: append(may, consumers+"CREATE."+at, consumers+"CREATE."+at+".>", consumers+"INFO."+at)}
}

// looks is to see what streams and lanes there are, and how they are; no message.
func (d Deployment) looks() []string {
	var may []string
	for _, s := range d.Streams() {
		may = append(may, streams+"INFO."+s)
	}
	for _, r := range d.Routes {
		may = append(may, consumers+"INFO."+d.lane(r.Type))
	}
	return may
}

// events are the subjects events come in by.
func (d Deployment) events() []string {
	var may []string
	for _, r := range d.Routes {
		may = append(may, d.EventSubject(r.Type))
	}
	return may
}

// results are the subjects of all results.
func (d Deployment) results() []string {
	var may []string
	for _, r := range d.Routes {
		may = append(may, d.ResultSubject(r.Success, "*"), d.ResultSubject(r.Failure, "*"))
	}
	return may
}

// letters are the subjects of all letters.
func (d Deployment) letters() []string {
	var may []string
	for _, r := range d.Routes {
		may = append(may, d.LetterSubject("*", r.Type, "*"))
	}
	return may
}

// lane is a type's consumer, as the API names it.
func (d Deployment) lane(typ string) string {
	return d.EventsStream() + "." + topology.Consumer(typ)
}

// records are keys of the fleet's bucket.
func (d Deployment) records(keys string) string { return "$KV." + d.FleetBucket() + "." + keys }

// acks are the acknowledgements of a consumer's messages, in both forms: later servers
// put the domain and a hash of the account before the stream.
func acks(consumer string) []string {
	return []string{"$JS.ACK." + consumer + ".>", "$JS.ACK.*.*." + consumer + ".>"}
}
