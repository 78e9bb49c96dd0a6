package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"os/user"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/stream"
)

// Who is an operator, as far as can be told. The first two are the machine's word, the
// third the server's, who has checked it.
type Who struct {
	OSUser   string `json:"osUser"`
	Host     string `json:"host"`
	NATSUser string `json:"natsUser"` // user name or public key, "[REDACTED]" for a token; empty if the server asks nobody
}

// String is "anna@ops-1".
func (w Who) String() string { return w.OSUser + "@" + w.Host }

// userWait is how long the server may take to say who we are. A user may be forbidden
// to ask; then the name we gave must do.
const userWait = time.Second

func whoAmI(ctx context.Context, nc *nats.Conn) Who {
	w := Who{OSUser: os.Getenv("USER"), Host: "unknown", NATSUser: nc.Opts.User}
	if u, err := user.Current(); err == nil { // a container's user may have no name
		w.OSUser = u.Username
	}
	w.OSUser = cmp.Or(w.OSUser, "unknown")
	if host, err := os.Hostname(); err == nil {
		w.Host = host
	}
	ctx, cancel := context.WithTimeout(ctx, userWait)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, stream.AskUser, nil)
	if err != nil {
		return w
	}
	var answer struct {
		Data struct {
			User string `json:"user"`
		} `json:"data"`
	}
	if json.Unmarshal(msg.Data, &answer) == nil && answer.Data.User != "" {
		w.NATSUser = answer.Data.User
	}
	return w
}
