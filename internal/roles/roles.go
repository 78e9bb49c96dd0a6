// Package roles says what each kind of user of a deployment may do at the broker, and
// writes it down for the server, as a configuration or as the commands of nsc.
//
// Its one rule: a role may do what its part of the work does, and nothing else. What
// that is comes from the topology, so that another prefix changes it by itself, and a new
// event type needs no other; that it is enough, and not too much, is shown by running
// every command as every role, and by trying what each must not (cmd/worker).
package roles

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"essworker/internal/topology"
)

// Role is one kind of user.
type Role string

// The roles.
const (
	Publisher   Role = "publisher"
	Worker      Role = "worker"
	Subscriber  Role = "subscriber"
	Operator    Role = "operator"
	Viewer      Role = "viewer"
	Provisioner Role = "provisioner"
)

// All lists the roles, those of the services first.
func All() []Role {
	return []Role{Publisher, Worker, Subscriber, Operator, Viewer, Provisioner}
}

// Of is the role of a user, by its name: the role's own, or one that ends in - and
// that, such as "ess-viewer". ok is false for any other name.
func Of(user string) (r Role, ok bool) {
	name := Role(user[strings.LastIndexByte(user, '-')+1:])
	return name, slices.Contains(All(), name)
}

// Inbox is the prefix of the subjects that a role's answers come to. No role may listen
// to another's.
func (r Role) Inbox() string { return "_INBOX_" + string(r) }

// User is one user of a deployment.
type User struct {
	Role Role
	Name string // "ess-worker"
	For  string // who logs in as this user, and what for
	May  Permissions
}

// Permissions are subjects, which may have wildcards. Whatever is not allowed is denied.
type Permissions struct {
	Publish   []string
	Deny      []string // of what Publish allows
	Subscribe []string
}

// Deployment is what permissions are derived from.
type Deployment struct {
	topology.Names
	// Subscriber is the durable consumer of the results stream by which the subscriber
	// reads; required. Another's may not be used.
	Subscriber string
}

// DefaultSubscriber is what the subscriber's consumer is called if nobody says.
const DefaultSubscriber = "subscriber"

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Validate reports what cannot work, by its flag.
func (d Deployment) Validate() error {
	if !namePattern.MatchString(d.Subscriber) {
		return fmt.Errorf("--subscriber: %q must be 1 to 64 letters, digits, - or _", d.Subscriber)
	}
	return d.Names.Validate()
}

// Users gives a user for each role.
func (d Deployment) Users() []User {
	users := []User{
		{Role: Publisher, For: "A service that publishes events, and waits until they are stored.", May: d.publisher()},
		{Role: Worker, For: "worker run, and worker doctor: takes events, stores results and letters, runs\nreplays. It makes, changes and deletes no stream and no consumer.", May: d.worker()},
		{Role: Subscriber, For: "A service that reads results by the durable consumer " + d.Subscriber + " of\n" + d.ResultsStream() + ", which worker setup --subscriber makes.", May: d.subscriber()},
		{Role: Operator, For: "People who replay, edit and discard letters, set limits and stop lanes. Each of\ntheir commands keeps a record of what it does.", May: d.operator()},
		{Role: Viewer, For: "People and programs that look: worker status, dlq groups, ls, show, jobs, watch,\nlog and check. Changes nothing. Mind that letters hold personal data.", May: d.viewer()},
		{Role: Provisioner, For: "worker setup, at deployment: makes and updates streams, consumers and bucket.\nIt deletes nothing.", May: d.provisioner()},
	}
	for i, u := range users {
		users[i].Name = d.Prefix + "-" + string(u.Role)
		users[i].May.Subscribe = append([]string{u.Role.Inbox() + ".>"}, u.May.Subscribe...)
	}
	return users
}
