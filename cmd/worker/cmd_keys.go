package main

import (
	"fmt"

	"essworker/internal/keys"
	"essworker/internal/roles"
	"essworker/internal/topology"
)

type keysCmd struct {
	topology.Names
	Dir    string   `arg:"" placeholder:"DIR" help:"Folder to keep them in; made if it is missing."`
	Server []string `required:"" placeholder:"NAME" help:"Name or address by which a NATS server is reached; several with commas between them."`
}

// Help is kong's hook.
func (*keysCmd) Help() string {
	return `For a deployment that has none yet. What is there and good stays, so it may be run
before every start; a certificate is made anew 60 days before its end. Whoever runs it
owns the files, and nobody else can read them. In DIR are

    NAME/        for each server: passwords.conf (hashes), ca.crt, server.crt,
                 server.key, as deploy/nats/cluster.conf has them in /etc/nats/keys
    ROLE/        for each role: login.yaml, a file for --config, and ca.crt
    authority/   what signs the certificates: for nobody else

    worker keys ./keys --server nats-1,nats-2,nats-3
    worker status --config ./keys/viewer/login.yaml --nats-ca ./keys/viewer/ca.crt`
}

// Validate names the first flag that cannot work.
func (c *keysCmd) Validate() error { return c.config().Validate() }

// Run makes what is missing, and prints each file it has written.
func (c *keysCmd) Run(s streams) error {
	written, err := c.config().Make()
	for _, name := range written {
		fmt.Fprintln(s.out, name)
	}
	if err == nil && len(written) == 0 {
		fmt.Fprintln(s.err, "everything is in place: nothing to make")
	}
	return err
}

func (c *keysCmd) config() keys.Config {
	users := roles.Deployment{Names: c.Names, Subscriber: roles.DefaultSubscriber}.Users()
	return keys.Config{Dir: c.Dir, Servers: c.Server, Users: users}
}
