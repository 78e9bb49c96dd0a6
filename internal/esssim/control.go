package esssim

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"
)

// control answers the requests below /sim/.
func (s *Sim) control(r *http.Request) reply {
	handlers := map[string]map[string]func(*http.Request) reply{
		"/sim/faults": {http.MethodGet: s.listFaults, http.MethodPost: s.addFault, http.MethodDelete: s.dropFaults},
		"/sim/state":  {http.MethodGet: func(*http.Request) reply { return asJSON(http.StatusOK, s.State(), "") }},
		"/sim/calls":  {http.MethodGet: s.listCalls, http.MethodDelete: s.dropCalls},
	}[r.URL.Path]
	if handlers == nil {
		return problem(http.StatusNotFound, fmt.Errorf("no such page %q: there are /sim/faults, /sim/state and /sim/calls", r.URL.Path))
	}
	handle := handlers[r.Method]
	if handle == nil {
		return problem(http.StatusMethodNotAllowed, fmt.Errorf("method %s is of no use on %s", r.Method, r.URL.Path))
	}
	return handle(r)
}

// problem is a control answer that says what is wrong.
func problem(status int, err error) reply {
	return asJSON(status, map[string]string{"error": err.Error()}, "")
}

func (s *Sim) listFaults(*http.Request) reply {
	return asJSON(http.StatusOK, map[string]any{"faults": s.Faults()}, "")
}

// maxFaultBody bounds what a POST of a fault may hold.
const maxFaultBody = 64 << 10

func (s *Sim) addFault(r *http.Request) reply {
	if r.Body == nil {
		return problem(http.StatusBadRequest, io.ErrUnexpectedEOF)
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxFaultBody))
	if err != nil {
		return problem(http.StatusBadRequest, err)
	}
	var f Fault
	if err := json.Unmarshal(b, &f); err != nil {
		return problem(http.StatusBadRequest, err)
	}
	if err := f.Validate(); err != nil {
		return problem(http.StatusBadRequest, err)
	}
	f.ID = s.Inject(f)
	return asJSON(http.StatusCreated, f, "")
}

func (s *Sim) dropFaults(r *http.Request) reply {
	q := r.URL.Query().Get("id")
	if q == "" {
		s.ClearFaults()
		return s.listFaults(r)
	}
	id, err := strconv.Atoi(q)
	if err != nil {
		return problem(http.StatusBadRequest, fmt.Errorf("id: must be a number, got %q", q))
	}
	if !s.Remove(id) {
		return problem(http.StatusNotFound, fmt.Errorf("id: no fault %d is in force", id))
	}
	return s.listFaults(r)
}

// listCalls gives the record, or the newest limit calls of an action since a time.
func (s *Sim) listCalls(r *http.Request) reply {
	q := r.URL.Query()
	limit := math.MaxInt
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return problem(http.StatusBadRequest, fmt.Errorf("limit: must be a number of calls, got %q", text))
		}
		limit = n
	}
	since, err := sinceTime(q.Get("since"))
	if err != nil {
		return problem(http.StatusBadRequest, err)
	}
	calls := s.Calls()
	kept := calls[:0]
	for _, c := range calls {
		if (q.Get("action") == "" || q.Get("action") == c.Action) && !c.At.Before(since) {
			kept = append(kept, c)
		}
	}
	sliding, calendar := MaxPerSecond(kept, "")
	kept = kept[len(kept)-min(limit, len(kept)):]
	return asJSON(http.StatusOK, map[string]any{
		"calls":        kept,
		"maxPerSecond": map[string]int{"sliding": sliding, "calendar": calendar},
	}, "")
}

// sinceTime reads a time, or how long ago it was.
func sinceTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-d.Abs()), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("since: must be a duration such as 5m or a time in RFC 3339, got %q", text)
	}
	return t, nil
}

func (s *Sim) dropCalls(r *http.Request) reply {
	s.ClearCalls()
	return s.listCalls(r)
}
