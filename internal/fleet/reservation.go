package fleet

import "time"

// reservation is the record of one vendor action: what the last worker took. Its first
// slot is at From, or when the record was stored if that is later: the server's clock
// decides, and a writer need not know the time.
type reservation struct {
	From   time.Time     `json:"from"`   // no slot of it is before this
	Slots  int           `json:"slots"`  // how many were taken
	Gap    time.Duration `json:"gap"`    // from each to the next
	Times  uint64        `json:"times"`  // reservations so far: tells how many others compete
	Minute int64         `json:"minute"` // the present minute of the server's clock
	Used   [2]int        `json:"used"`   // slots in it, and in the one before
	Live   time.Time     `json:"live"`   // when an event that is no replay last took one
	Replay time.Time     `json:"replay"` // when the share of the replays has room again
}

// first is the first slot of a reservation stored at the given time, free the first behind it.
func (r reservation) first(stored time.Time) time.Time { return latest(r.From, stored) }

func (r reservation) free(stored time.Time) time.Time {
	return r.first(stored).Add(time.Duration(r.Slots) * r.Gap)
}

// lastMinute is how many slots were taken in the minute before now, about.
func (r reservation) lastMinute(now time.Time) float64 {
	minute, part := now.Unix()/60, float64(now.Unix()%60)/60
	switch minute - r.Minute {
	case 0:
		return float64(r.Used[0]) + float64(r.Used[1])*(1-part)
	case 1:
		return float64(r.Used[0]) * (1 - part)
	}
	return 0
}

// count notes slots taken now.
func (r *reservation) count(now time.Time, slots int) {
	switch minute := now.Unix() / 60; minute - r.Minute {
	case 0:
	case 1:
		r.Minute, r.Used = minute, [2]int{0, r.Used[0]}
	default:
		r.Minute, r.Used = minute, [2]int{}
	}
	r.Used[0] += slots
}
