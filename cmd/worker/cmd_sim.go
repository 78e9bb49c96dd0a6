package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"essworker/internal/esssim"
)

type simCmd struct {
	esssim.Config
	Addr    string  `default:"127.0.0.1:9080" help:"Where to answer." placeholder:"HOST:PORT"`
	Hostile float64 `default:"0" help:"Share of calls that meet a random fault, 0 to 1." placeholder:"RATIO"`
	Seed    uint64  `default:"1" help:"Seed of the random faults." placeholder:"N"`
}

// Run is the vendor until interrupted.
func (c *simCmd) Run(ctx context.Context, s streams) error {
	if c.Hostile < 0 || c.Hostile > 1 {
		return exit{exitUsage, fmt.Errorf("--hostile: must be between 0 and 1, not %v", c.Hostile)}
	}
	ctx, stop := quietSignals(ctx)
	defer stop()
	sim := esssim.New(c.Config)
	sim.Hostile(c.Seed, c.Hostile)
	addr, wait, err := serveSim(ctx, sim, "--addr", c.Addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, `the vendor simulator answers at http://%[1]s, %[2]s

  export ESS_ENDPOINT=http://%[1]s ESSBASIC_ENDPOINT=http://%[1]s
  export TENCENTCLOUD_SECRET_ID=%[3]s TENCENTCLOUD_SECRET_KEY=%[4]s
  export ESS_OPERATOR_USER_ID=%[5]s ESS_APP_ID=%[6]s

  curl http://%[1]s/sim/state     what it knows
  curl http://%[1]s/sim/calls     what it was asked
  curl http://%[1]s/sim/faults -d '{"kind":"status","status":503,"count":10}'
`, addr, limitText(c.Rate), esssim.SecretID, esssim.SecretKey, esssim.OperatorUserID, esssim.AppID)
	return wait()
}

func limitText(rate int) string {
	if rate == 0 {
		return "without a limit"
	}
	return fmt.Sprintf("%d calls per second and action", rate)
}

// serveSim answers on addr, which a flag has named, until ctx ends; wait returns when
// it has stopped.
func serveSim(ctx context.Context, sim *esssim.Sim, flag, addr string) (bound string, wait func() error, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", nil, fmt.Errorf("%s: the simulator cannot listen: %w: choose another address", flag, err)
	}
	srv := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	return l.Addr().String(), func() error {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			if err := srv.Close(); err != nil { // a call that hangs on purpose would never finish
				return err
			}
			if err := <-done; !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		}
	}, nil
}
