package replay

import (
	"maps"
	"slices"
)

// places is where in the letters something begins, by event type: behind this id.
type places map[string]uint64

// A job goes through its letters from the oldest to the newest. Those whose lane stands
// still are left, and the cursor is turned back to them once it goes.

// through reports whether the job has come to all of its letters.
func (j Job) through() bool {
	return j.Cursor >= j.Selection.Last && len(j.Left) == 0 && len(j.Again) == 0
}

// ahead reports whether letters of a type may be still to come.
func (j Job) ahead(typ string) bool {
	if _, left := j.Left[typ]; left {
		return true
	}
	_, back := j.Back[typ]
	return back || len(j.Again) > 0 || max(j.Cursor, j.Reached) < j.Selection.Last
}

// takes reports whether it is a letter's turn: none before it was left, and it was not
// come to before.
func (j Job) takes(typ string, id uint64) bool {
	if _, left := j.Left[typ]; left {
		return false
	}
	from, back := j.Back[typ]
	return id > j.Reached || back && id > from
}

// leave leaves a letter, and those of its type behind it, for later.
func (j *Job) leave(typ string, id uint64) {
	delete(j.Back, typ)
	if j.Left == nil {
		j.Left = places{}
	}
	j.Left[typ] = id - 1
}

// pass moves the job on past a letter.
func (j *Job) pass(to uint64) {
	if len(j.Again) > 0 {
		j.Again = slices.DeleteFunc(j.Again, func(id uint64) bool { return id <= to })
		return
	}
	if j.Cursor = to; to >= j.Reached {
		j.Back = nil
	}
}

// turnBack turns the cursor back to the letters that were left and can go now, and
// reports whether there are any.
func (j *Job) turnBack(goes func(typ string) bool) bool {
	back := maps.Clone(j.Left)
	maps.DeleteFunc(back, func(typ string, _ uint64) bool { return !goes(typ) })
	if len(back) == 0 {
		return false
	}
	first := j.Cursor
	for typ, from := range back {
		delete(j.Left, typ)
		first = min(first, from)
	}
	for typ, from := range j.Back {
		back[typ] = max(from, j.Cursor)
	}
	j.Reached = max(j.Reached, j.Cursor)
	j.Back, j.Cursor = back, first
	return true
}
