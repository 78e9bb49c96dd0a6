package roles

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
)

// Account is the name of the deployment's account, "ESS". A deployment has one of its
// own: what the users of another may do, they may do there.
func (d Deployment) Account() string { return strings.ToUpper(d.Prefix) }

// PasswordVariable is the variable that the configuration has a user's password from.
func (u User) PasswordVariable() string {
	return "NATS_" + strings.ToUpper(strings.ReplaceAll(u.Name, "-", "_")) + "_PASSWORD"
}

const confHead = `# The users of essworker and what each may do: include this file in nats.conf.
# Written by "worker roles%s". Do not edit it: write it anew after an upgrade,
# and let the servers reload.
#
# It holds no password. They stand in %s beside it, which "worker keys"
# makes, a line each, best as bcrypt hashes, as "nats server passwd" makes them:
#
#   %s: "$2a$11$..."
#
# The server does not start while the file or a line of it is missing.
#
# A user may have another name as long as it ends in - and the role: by that a
# command knows its inbox. Else set NATS_INBOX_PREFIX for it.
`

// PasswordsFile is what the configuration includes, for the variables it has the
// passwords from. Variables of the environment would do, but one that is set to nothing
// would be a user without a password.
const PasswordsFile = "keys/passwords.conf"

// WriteConf writes the account and its users as a part of a server's configuration.
func (d Deployment) WriteConf(to io.Writer) error {
	w := bufio.NewWriter(to) // keeps an error until Flush
	users := d.Users()
	fmt.Fprintf(w, confHead, d.flags(), PasswordsFile, users[0].PasswordVariable())
	fmt.Fprintf(w, "\ninclude %s\n\naccounts {\n  %q {\n    jetstream: enabled\n    users: [", PasswordsFile, d.Account())
	for _, u := range users {
		fmt.Fprint(w, "\n")
		for line := range strings.SplitSeq(u.For, "\n") {
			fmt.Fprintf(w, "      # %s\n", line)
		}
		fmt.Fprintf(w, "      {\n        user: %q\n        password: $%s\n        permissions {\n", u.Name, u.PasswordVariable())
		fmt.Fprint(w, "          publish {\n")
		confList(w, "allow", u.May.Publish)
		if len(u.May.Deny) > 0 {
			confList(w, "deny", u.May.Deny)
		}
		fmt.Fprint(w, "          }\n          subscribe {\n")
		confList(w, "allow", u.May.Subscribe)
		fmt.Fprint(w, "          }\n        }\n      }\n")
	}
	fmt.Fprint(w, "    ]\n  }\n}\n")
	return w.Flush()
}

func confList(w io.Writer, name string, subjects []string) {
	fmt.Fprintf(w, "            %s: [\n", name)
	for _, s := range subjects {
		fmt.Fprintf(w, "              %q\n", s)
	}
	fmt.Fprint(w, "            ]\n")
}

// flags are those of worker roles that differ from its defaults.
func (d Deployment) flags() string {
	text := ""
	if d.Prefix != "ess" {
		text += " --prefix " + d.Prefix
	}
	if cmp.Or(d.Subscriber, DefaultSubscriber) != DefaultSubscriber {
		text += " --subscriber " + d.Subscriber
	}
	return text
}
