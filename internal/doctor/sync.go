package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// monitored is what a server's monitoring tells and a client cannot see.
type monitored struct {
	Config struct {
		SyncAlways   bool          `json:"sync_always"`
		SyncInterval time.Duration `json:"sync_interval"`
		MaxStore     int64         `json:"max_storage"`
	} `json:"config"`
	Disabled bool   `json:"disabled"`
	Store    uint64 `json:"storage"`
	Meta     *struct {
		Size int `json:"cluster_size"`
	} `json:"meta_cluster"`
}

// sync is about a power cut: what was confirmed must be on a disk, or on three servers.
func (b *broker) sync(ctx context.Context) {
	least := b.leastCopies()
	if least == 0 {
		return
	}
	asked, late := 0, ""
	for _, u := range b.Monitors {
		at := u.Redacted()
		m, err := b.monitor(ctx, u)
		if err != nil {
			b.tell.warn("monitor "+at, "give the URL of the server's monitoring port, as in http://host:8222", "%v", err)
			continue
		}
		asked++
		if !m.Config.SyncAlways {
			late = fmt.Sprintf("%s syncs every %v", at, m.Config.SyncInterval)
		}
		b.room("monitor "+at, used{"storage of the server", m.Store, m.Config.MaxStore, size})
		if m.Meta != nil && m.Meta.Size < b.Topology.Replicas {
			b.tell.bad("copies", "add servers, or lower WORKER_REPLICAS", "WORKER_REPLICAS is %d and the cluster has %d servers", b.Topology.Replicas, m.Meta.Size)
		}
	}
	const check, always = "sync", "set `sync_interval: always` in the server's jetstream block"
	switch {
	case late == "" && asked > 0:
		b.tell.ok(check, "the server puts each message on the disk before it confirms it")
	case least >= 3:
		b.tell.ok(check, "%s", strings.TrimPrefix(late+"; ", "; ")+
			fmt.Sprintf("%d copies outlast the power cut of one server", least))
	case late != "":
		b.tell.bad(check, always+", or keep three copies", "%s: a power cut loses what was confirmed in between", late)
	default:
		b.tell.warn(check, "give --monitor http://HOST:8222, or look into the server's configuration: with one copy, `sync_interval: always` must be in its jetstream block, or a power cut loses up to two minutes of confirmed events",
			"clients cannot see whether the server puts a message on the disk before it confirms it")
	}
}

// CheckMonitor says what is wrong with the URL of a server's monitoring; nil if nothing.
func CheckMonitor(u *url.URL) error {
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q must have a scheme, http or https, and a host", u.Redacted())
	}
	return nil
}

// SyncsAlways asks a server's monitoring, "http://host:8222", whether it puts each
// message on the disk before it confirms it.
func SyncsAlways(ctx context.Context, u *url.URL) (bool, error) {
	m, err := monitor(ctx, u)
	return m.Config.SyncAlways, err
}

// monitor asks one server.
func (b *broker) monitor(ctx context.Context, u *url.URL) (monitored, error) {
	ctx, cancel := b.patient(ctx)
	defer cancel()
	return monitor(ctx, u)
}

func monitor(ctx context.Context, u *url.URL) (m monitored, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("jsz").String()+"?config=true", nil)
	if err != nil {
		return m, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return m, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return m, fmt.Errorf("the server answers %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&m); err != nil {
		return m, fmt.Errorf("what answers there is not a NATS server's monitoring: %w", err)
	}
	if m.Disabled || m.Config.SyncInterval == 0 && !m.Config.SyncAlways {
		return m, errors.New("that server has no JetStream")
	}
	return m, nil
}
