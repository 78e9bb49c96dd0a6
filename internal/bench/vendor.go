package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"essworker/internal/esssim"
)

// Vendor is a simulator of the vendor.
type Vendor struct {
	URL       string            // "http://127.0.0.1:9080"
	Transport http.RoundTripper // nil is the network
}

// askWait is how long a simulator may take to answer a small question.
const askWait = 10 * time.Second

// Check says what is wrong if no simulator answers.
func (v Vendor) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	body, err := get(ctx, v.Transport, v.URL+"/sim/calls?limit=0")
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // who asked knows the address
		}
		return fmt.Errorf("no simulator answers: %w", err)
	}
	defer body.Close()
	var answer record
	if err := json.NewDecoder(body).Decode(&answer); err != nil || answer.Calls == nil {
		return fmt.Errorf("what answers at %s is no simulator", v.URL)
	}
	return nil
}

// record is what a simulator answers about its calls.
type record struct {
	Calls []esssim.Call `json:"calls"`
}

// calls gives the simulator's record since a time.
func (v Vendor) calls(ctx context.Context, since time.Time) ([]esssim.Call, error) {
	body, err := get(ctx, v.Transport, v.URL+"/sim/calls?since="+url.QueryEscape(since.UTC().Format(time.RFC3339Nano)))
	if err != nil {
		return nil, fmt.Errorf("ask the simulator for its record: %w", err)
	}
	defer body.Close()
	var answer record
	if err := json.NewDecoder(bufio.NewReaderSize(body, 1<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read the simulator's record: %w", err)
	}
	return answer.Calls, nil
}

// allocations are a process's since its start.
type allocations struct{ objects, bytes float64 }

// askAllocations reads them from a worker's metrics, in the Prometheus format.
func askAllocations(ctx context.Context, metrics string) (a allocations, known bool, err error) {
	body, err := get(ctx, nil, metrics)
	if err != nil {
		return a, false, err
	}
	defer body.Close()
	found := 0
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		var to *float64
		switch name {
		case "go_memstats_mallocs_total":
			to = &a.objects
		case "go_memstats_alloc_bytes_total":
			to = &a.bytes
		default:
			continue
		}
		if *to, err = strconv.ParseFloat(value, 64); err != nil {
			return a, false, fmt.Errorf("%s of %s: %w", name, metrics, err)
		}
		found++
	}
	return a, found == 2, lines.Err()
}

func get(ctx context.Context, transport http.RoundTripper, address string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s answers %s", address, resp.Status)
	}
	return resp.Body, nil
}
