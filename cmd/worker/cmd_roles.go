package main

import (
	"essworker/internal/roles"
	"essworker/internal/topology"
)

type rolesCmd struct {
	topology.Names
	Format     string `enum:"conf,jwt-nsc" default:"conf" placeholder:"conf|jwt-nsc" help:"A part of the servers' configuration, or the nsc commands that make the same users."`
	Subscriber string `default:"subscriber" placeholder:"NAME" help:"Durable consumer of the results by which the subscriber reads."`
}

// Help is kong's hook.
func (*rolesCmd) Help() string {
	return `Prints, and changes nothing. The six users, named PREFIX-ROLE:

    publisher    publishes events
    worker       worker run and doctor
    subscriber   reads results by one durable consumer
    operator     worker dlq, limit, pause, resume, results
    viewer       worker status, dlq groups, ls, show, jobs, watch, log, check
    provisioner  worker setup

Each listens to its own inbox only, _INBOX_ROLE.>, which a command knows by the name
of the user it logs in as; NATS_INBOX_PREFIX sets another.

    worker roles > roles.conf                  # to be included in nats.conf
    worker roles --format jwt-nsc > roles.sh   # for accounts that nsc signs`
}

// Validate names the first flag that cannot work.
func (c *rolesCmd) Validate() error { return c.deployment().Validate() }

// Run prints the users and what each may do.
func (c *rolesCmd) Run(s streams) error {
	if c.Format == "jwt-nsc" {
		return c.deployment().WriteNSC(s.out)
	}
	return c.deployment().WriteConf(s.out)
}

func (c *rolesCmd) deployment() roles.Deployment {
	return roles.Deployment{Names: c.Names, Subscriber: c.Subscriber}
}
