package roles

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

const nscHead = `#!/bin/sh
# Makes the account of essworker, and its users with what each may do, where the
# operator signs with nsc. Written by "worker roles --format jwt-nsc%s".
# Run it where the operator's keys are; then "nsc push", and give each service its
# file of ./creds as NATS_CREDS.
#
# What a user may do travels in its credentials. Where a server refuses one of them with
# "maximum control line exceeded", as it may the operator's with a long prefix, set
# max_control_line: 8KB there.
set -eu
mkdir -p creds && chmod 700 creds
`

// WriteNSC writes the same as WriteConf as a shell script that calls nsc.
func (d Deployment) WriteNSC(to io.Writer) error {
	w := bufio.NewWriter(to) // keeps an error until Flush
	fmt.Fprintf(w, nscHead, d.flags())
	fmt.Fprintf(w, "\nnsc add account --name %s\n", d.Account())
	fmt.Fprintf(w, "nsc edit account --name %s --js-disk-storage -1 --js-streams -1 --js-consumer -1\n", d.Account())
	for _, u := range d.Users() {
		fmt.Fprint(w, "\n")
		for line := range strings.SplitSeq(u.For, "\n") {
			fmt.Fprintf(w, "# %s\n", line)
		}
		fmt.Fprintf(w, "nsc add user --account %s --name %s", d.Account(), u.Name)
		nscList(w, "--allow-pub", u.May.Publish)
		nscList(w, "--deny-pub", u.May.Deny)
		nscList(w, "--allow-sub", u.May.Subscribe)
		fmt.Fprintf(w, "\nnsc generate creds --account %s --name %s --output-file creds/%s.creds\n", d.Account(), u.Name, u.Name)
	}
	return w.Flush()
}

// nscList writes a flag for each subject, quoted: they hold $, * and >.
func nscList(w io.Writer, flag string, subjects []string) {
	for _, s := range subjects {
		fmt.Fprintf(w, " \\\n  %s '%s'", flag, s)
	}
}
