package roles

import (
	"slices"

	"essworker/internal/fleet"
	"essworker/internal/stream"
)

// The server's API.
const (
	api       = "$JS.API."
	direct    = api + "DIRECT.GET."
	account   = api + "INFO"
	streams   = api + "STREAM."
	consumers = api + "CONSUMER."
)

// publisher stores events and hears that they are stored; that is all. Subjects of no
// event type are among them: there the server answers that nobody takes it, at once,
// where a denial would be silence.
func (d Deployment) publisher() Permissions {
	return Permissions{Publish: []string{d.EventSubject(">")}}
}

// worker is the whole path of an event, and replays. That it looks at the streams is
// its check at the start, that they are what it needs.
func (d Deployment) worker() Permissions {
	lanes := d.EventsStream() + ".*"
	return Permissions{
		Publish: slices.Concat(d.looks(), acks(lanes), []string{
			consumers + "MSG.NEXT." + lanes,
			consumers + "LIST." + d.EventsStream(), // the doctor looks for consumers that stand in the way
			d.Results(), d.Letters(),
			d.EventSubject(">"), streams + "MSG.DELETE." + d.LettersStream(), // replays
			direct + d.ResultsStream(), direct + d.LettersStream(), direct + d.EventsStream(),
			streams + "MSG.GET." + d.EventsStream(),                                     // a replay asks whether its event is still on its way
			direct + d.DiscardedStream(), streams + "MSG.DELETE." + d.DiscardedStream(), // and takes back the copy that a discard made meanwhile
			direct + d.FleetStream(), streams + "MSG.GET." + d.FleetStream(),
			d.records(">"),
		}),
		Subscribe: []string{d.records(">")},
	}
}

// subscriber may not make its consumer: who makes one says where the server sends
// messages, and that may be any subject.
func (d Deployment) subscriber() Permissions {
	at := d.ResultsStream() + "." + d.Subscriber
	return Permissions{Publish: append(acks(at), consumers+"INFO."+at, consumers+"MSG.NEXT."+at)}
}

// viewer reads by direct get only. A consumer of its own would be quicker for many
// letters, but who may make one may have the server publish for him.
func (d Deployment) viewer() Permissions {
	may := d.looks()
	for _, s := range d.Streams() {
		may = append(may, direct+s)
	}
	return Permissions{Publish: append(may,
		streams+"MSG.GET."+d.FleetStream(), streams+"MSG.GET."+d.EventsStream(),
	)}
}

// operator is a viewer who may also change what operators change. Of the fleet's
// records that is all but what the workers alone write.
func (d Deployment) operator() Permissions {
	may := append(d.viewer().Publish,
		consumers+"PAUSE."+d.EventsStream()+".*",
		d.EventSubject(">"), // edited
		d.Letters(),         // restored and imported
		d.Discarded(),
		d.Results(), // dlq check --fix tells a failure that was not told
		d.AuditSubject(">"),
		d.records(">"),
	)
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

// provisioner makes what there is to be made. It cannot delete a stream, a consumer or
// a message.
func (d Deployment) provisioner() Permissions {
	may := d.looks()
	for _, s := range d.Streams() {
		may = append(may, streams+"CREATE."+s, streams+"UPDATE."+s)
	}
	at := d.ResultsStream() + "." + d.Subscriber
	return Permissions{Publish: append(may,
		consumers+"CREATE."+d.EventsStream()+".>",
		consumers+"CREATE."+at, consumers+"CREATE."+at+".>", consumers+"INFO."+at,
	)}
}

// looks is to see who one is, what streams and lanes there are, and how they are; no message.
func (d Deployment) looks() []string {
	may := []string{account, stream.AskUser}
	for _, s := range d.Streams() {
		may = append(may, streams+"INFO."+s)
	}
	return append(may, consumers+"INFO."+d.EventsStream()+".*")
}

// records are keys of the fleet's bucket.
func (d Deployment) records(keys string) string { return "$KV." + d.FleetBucket() + "." + keys }

// acks are the acknowledgements of a consumer's messages, in both forms: later servers
// put the domain and a hash of the account before the stream.
func acks(consumer string) []string {
	return []string{"$JS.ACK." + consumer + ".>", "$JS.ACK.*.*." + consumer + ".>"}
}
