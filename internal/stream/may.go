package stream

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"essworker/internal/topology"
)

// AskUser is the question to the server who the user of a connection is, and what that
// one may do. A user may be forbidden to ask it.
const AskUser = "$SYS.REQ.USER.INFO"

// userWait bounds the wait for the answer to AskUser, which comes within a millisecond
// or never.
const userWait = time.Second

// May says whether the user of a connection may publish to a subject, for those who can
// do without: to try it would be a timeout and a count of permission violations. Where
// the server does not tell, it says yes.
func May(ctx context.Context, nc *nats.Conn, subject string) bool {
	ctx, cancel := context.WithTimeout(ctx, userWait)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, AskUser, nil)
	if err != nil {
		return true
	}
	var answer struct {
		Data struct {
			Permissions struct {
				Publish struct {
					Allow []string `json:"allow"`
					Deny  []string `json:"deny"`
				} `json:"publish"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if json.Unmarshal(msg.Data, &answer) != nil {
		return true
	}
	covers := func(pattern string) bool { return topology.Covers(pattern, subject) }
	may := answer.Data.Permissions.Publish
	return (len(may.Allow) == 0 || slices.ContainsFunc(may.Allow, covers)) && !slices.ContainsFunc(may.Deny, covers)
}
