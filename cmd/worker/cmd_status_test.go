package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jedib0t/go-pretty/v6/text"

	"essworker/internal/fault"
	"essworker/internal/fleet"
	"essworker/internal/status"
)

// hard is a deployment with a bit of everything.
func hard() status.Snapshot {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	quota := status.Quota{Limit: 20, Known: true, Rates: []int{20, 30}, Used: 1176, Pace: 20}
	slow, set := quota, quota
	slow.Pace, slow.Throttled, slow.Used = 12.5, now.Add(-5*time.Second), 600
	set.Limit, set.Pace, set.Used = 5, 5, 0
	set.Set = &fleet.Limit{Rate: 5, Why: "their mail", By: "anna@ops", At: now.Add(-26 * time.Hour)}
	breaker := fleet.Bar{
		Kind: fleet.Breaker, Name: "seal.grant.requested", Since: now.Add(-3 * time.Minute), Code: "HTTP503",
		Why: "Service Unavailable 服务不可用，请稍后再试，如有疑问请联系客服并提供请求编号", ProbeAt: now.Add(12 * time.Second),
	}
	s := status.Snapshot{
		At: now,
		Lanes: []status.Lane{
			{
				Type: "employee.onboarded", Action: "ess.BindEmployeeUserIdWithClientOpenId", State: status.Throttled,
				Waiting: 98712, Calls: 4, Retry: 12, Oldest: now.Add(-62 * time.Minute), Quota: slow, Empty: 2*time.Hour + 11*time.Minute, Workers: 2,
				Letters: map[fault.Reason]uint64{fault.Rejected: 1204, fault.Poison: 1},
			},
			{
				Type: "seal.grant.requested", Action: "essbasic.ChannelCreateSealPolicy", State: status.Open, Waiting: 7, Oldest: now.Add(-3 * time.Minute),
				Quota: quota, Empty: -1, Workers: 2, Shut: []fleet.Bar{breaker},
			},
			{
				Type: "autosign.link.requested", Action: "ess.CreateUserAutoSignSealUrl", State: status.Paused, Quota: set, Workers: 2,
				Pause: status.Pause{Note: &fleet.Pause{Why: "their maintenance", By: "anna@ops", At: now.Add(-time.Minute)}},
			},
		},
		Shut:    []fleet.Bar{breaker},
		Letters: status.Letters{Count: 1205, Oldest: now.Add(-75 * time.Hour)},
	}
	for i := range 7 {
		s.Shut = append(s.Shut, fleet.Bar{Kind: fleet.Tenant, Name: fmt.Sprint("ess:org", i), Since: now.Add(-time.Hour), Code: "NoLicense"})
	}
	for i := range 3 {
		s.Workers = append(s.Workers, fleet.Presence{
			Host: "ops-" + strconv.Itoa(i), PID: 42, Version: "v1.4.0", Since: now.Add(-time.Hour), Seen: now.Add(-3 * time.Second),
			Lanes: map[string]fleet.Share{"employee.onboarded": {Calls: i}},
		})
	}
	s.Workers[2].Lanes["seal.grant.requested"] = fleet.Share{Breaker: "open"}
	return s
}

func TestFrame(t *testing.T) {
	tests := []struct {
		room screenSize
		want string
	}{
		{screenSize{width: 80}, `
2026-11-22 10:00:00 UTC   3 workers   98735 events   1205 letters

LANE                     WAITING  CALLS  RETRY  OLDEST  QUOTA  EMPTY  STATE
employee.onboarded         98712      4     12   1h02m    50%  2h11m  throttled
seal.grant.requested           7      0      0      3m    98%      -  open
autosign.link.requested        0      0      0       -     0%      -  paused

! seal.grant.requested: breaker open for 3m: HTTP503: Service Unavailable
  服务不可用，请稍后再试，如有疑问请联系客服并提供请求编号; next probe in 12s
! tenant ess:org0: held for 1h00m: NoLicense; the next event is the probe
! tenant ess:org1: held for 1h00m: NoLicense; the next event is the probe
! tenant ess:org2: held for 1h00m: NoLicense; the next event is the probe
! tenant ess:org3: held for 1h00m: NoLicense; the next event is the probe
! tenant ess:org4: held for 1h00m: NoLicense; the next event is the probe
! and 2 more tenants are held; worker status --json lists all
- autosign.link.requested: paused 1m ago by anna@ops, until resumed: their
  maintenance
- BindEmployeeUserIdWithClientOpenId: throttled 5s ago; the pace is 12.5/s and
  climbs back to 20/s
- CreateUserAutoSignSealUrl: limit 5/s set 1d2h ago by anna@ops: their mail
- the workers have different WORKER_RATEs: 20, 30

LETTERS             INVALID  REJECTED  EXHAUSTED  POISON  EXPIRED
employee.onboarded        0      1204          0       1        0
the oldest letter is 3d3h old; worker dlq groups tells the causes

WORKER    VERSION     UP  CALLS  SEEN  TROUBLE
ops-2/42  v1.4.0   1h00m      2    3s  own breaker open: seal.grant.requested
ops-0/42  v1.4.0   1h00m      0    3s
ops-1/42  v1.4.0   1h00m      1    3s
`},
		{screenSize{width: 120}, `
2026-11-22 10:00:00 UTC   3 workers   98735 events   1205 letters

LANE                     WAITING  CALLS  RETRY  OLDEST   LAST MIN  LIMIT    PACE  EMPTY  WORKERS  LETTERS  STATE
employee.onboarded         98712      4     12   1h02m   600/1200   20/s  12.5/s  2h11m        2     1205  throttled
seal.grant.requested           7      0      0      3m  1176/1200   20/s    20/s      -        2        0  open
autosign.link.requested        0      0      0       -      0/300    5/s     5/s      -        2        0  paused
`},
	}
	for _, tt := range tests {
		got := "\n" + strings.Join(frame(hard(), tt.room, false), "\n") + "\n"
		if d := cmp.Diff(tt.want, got[:min(len(got), len(tt.want))]); d != "" {
			t.Errorf("frame of %d columns differs (-want +got):\n%s", tt.room.width, d)
		}
	}
}

// TestFrame_fits holds every line to the width, and all of them to the height.
func TestFrame_fits(t *testing.T) {
	s := hard()
	for i := range 50 {
		s.Workers = append(s.Workers, fleet.Presence{Host: strings.Repeat("h", 63), PID: i, Version: "v1.4.0-0.20261122-dirty"})
	}
	for _, room := range []screenSize{{80, 40}, {80, 24}, {40, 10}, {30, 3}, {120, 60}, {200, 100}} {
		lines := frame(s, room, false)
		if len(lines) > room.height {
			t.Errorf("frame for %v has %d lines", room, len(lines))
		}
		for _, line := range lines {
			if w := text.StringWidth(line); w > room.width && !strings.HasPrefix(line, "… (") {
				t.Errorf("frame for %v has a line of %d: %s", room, w, line)
			}
		}
	}
	all := strings.Join(frame(s, screenSize{80, 40}, false), "\n")
	if !strings.Contains(all, "\nops-2/42") || !strings.HasSuffix(all, " more; worker status --json lists all") {
		t.Errorf("with 53 workers and 40 lines:\n%s\nwant the worker in trouble, and that there are more", all)
	}
}

func TestWrap(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"one", []string{"one"}},
		{"twenty characters at most", []string{"twenty characters at", "most"}},
		{"aWordOfMoreThanTwentyCharacters", []string{"aWordOfMoreThanTwent", "yCharacters"}},
		{"服务不可用，请稍后再试，如有疑问", []string{"服务不可用，请稍后再", "试，如有疑问"}},
		{"why: 服务不可用，请稍后再试", []string{"why: 服务不可用，请", "稍后再试"}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, wrap(tt.text, 20)); d != "" {
			t.Errorf("wrap(%q, 20) differs (-want +got):\n%s", tt.text, d)
		}
	}
}

func TestSpan(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m", hour - 1: "59m",
		hour: "1h00m", day - 1: "23h59m", day: "1d0h", 99*day + 23*hour: "99d23h", 100 * day: "100d", 1 << 62: "53375d",
	} {
		if got := span(d); got != want || len(got) > 6 {
			t.Errorf("span(%v) = %s, want %s", d, got, want)
		}
	}
}

// TestScreen has a window drawn over, made smaller, and left.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	room := screenSize{80, 40}
	scr := &screen{out: &out, room: func() screenSize { return room }}
	written := func() string { defer out.Reset(); return out.String() }
	s := hard()
	if err := scr.open(); err != nil || written() != "\x1b[?1049h\x1b[?25l" {
		t.Errorf("open: %v, want another screen without a cursor", err)
	}
	if err := scr.draw(s, nil, 0); err != nil {
		t.Fatal(err)
	}
	got := written()
	lines := strings.Split(got, "\r\n")
	if want := frame(s, room, false); len(lines) != len(want) || !strings.HasPrefix(got, "\x1b[H\x1b[2K2026-11-22") || strings.HasSuffix(got, "\n") {
		t.Errorf("drawn: %q, want the frame from the top left, without an end of line behind it", got)
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "\x1b[J") {
		t.Errorf("last line %q, want all below cleared before it", last)
	}
	room = screenSize{50, 12}
	if err := scr.draw(s, errors.New("no answer about 13812345678"), 7*time.Second); err != nil {
		t.Fatal(err)
	}
	got = written()
	if n := strings.Count(got, "\r\n") + 1; n > 12 || !strings.HasPrefix(got, "\x1b[H\x1b[2K! nothing newer than 7s ago: no answer about ***\r\n") {
		t.Errorf("drawn in trouble: %d lines %q, want 12 at most that begin with the trouble", n, got)
	}
	if err := scr.close(); err != nil {
		t.Fatal(err)
	}
	if got := written(); !strings.HasPrefix(got, "\x1b[?25h\x1b[?1049l2026-11-22") || !strings.Contains(got, "\nops-1/42") || !strings.HasSuffix(got, "\n") {
		t.Errorf("left: %q, want the cursor back and all of the last state", got)
	}
}
