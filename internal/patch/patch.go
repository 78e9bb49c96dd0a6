// Package patch changes JSON, as an operator does who mends an event.
//
// Its one rule: what is not changed stays as it was written, to the byte: the order of
// members, the digits of numbers, the escapes of texts. Only white space between them
// may go.
package patch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Member is one name and value of an object.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Object is a JSON object with its members in the order they were written.
type Object []Member

// Read takes an object apart. Members of one name stay as many as they are.
func Read(text []byte) (Object, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	o := Object{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("read the name of a member: %w", err)
		}
		m := Member{}
		m.Name, _ = name.(string) // the decoder takes no other
		if err := dec.Decode(&m.Value); err != nil {
			return nil, fmt.Errorf("read a member: %w", err)
		}
		o = append(o, m)
	}
	if _, err := dec.Token(); err != nil || dec.More() {
		return nil, errors.New("it is not one JSON object")
	}
	return o, nil
}

// Set gives a member a value, in the place of the first of that name, or at the end;
// there is one of the name then.
func (o Object) Set(name string, value json.RawMessage) Object {
	i := o.index(name)
	if i < 0 {
		return append(o, Member{name, value})
	}
	o[i].Value = value
	rest := slices.DeleteFunc(o[i+1:], func(m Member) bool { return m.Name == name })
	return o[:i+1+len(rest)]
}

// Delete takes every member of a name away.
func (o Object) Delete(name string) Object {
	return slices.DeleteFunc(o, func(m Member) bool { return m.Name == name })
}

// Get gives the value of the first member of a name; nil if there is none.
func (o Object) Get(name string) json.RawMessage {
	if i := o.index(name); i >= 0 {
		return o[i].Value
	}
	return nil
}

func (o Object) index(name string) int {
	return slices.IndexFunc(o, func(m Member) bool { return m.Name == name })
}

// Text writes the object, without white space between its members.
func (o Object) Text() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(Quote(m.Name))
		b.WriteByte(':')
		b.Write(m.Value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Quote writes a text as JSON, with < and & as they are.
func Quote(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a text always can be
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Merge applies a JSON merge patch (RFC 7386): objects are merged, null takes a member
// away, anything else replaces what there was.
func Merge(target, change []byte) ([]byte, error) {
	if !json.Valid(change) {
		return nil, errors.New("the patch is not JSON")
	}
	return merge(target, change), nil
}

func merge(target, change []byte) []byte {
	changes, err := Read(change)
	if isObject := err == nil; !isObject {
		return bytes.TrimSpace(change)
	}
	o, err := Read(target)
	if err != nil {
		o = Object{} // as the RFC has it: what is no object counts as an empty one
	}
	for _, m := range changes {
		if string(m.Value) == "null" {
			o = o.Delete(m.Name)
		} else {
			o = o.Set(m.Name, merge(o.Get(m.Name), m.Value))
		}
	}
	return o.Text()
}

// Change is one field that differs. A value that is not there is empty.
type Change struct {
	Field         string // "userInfo.name"; empty for the whole
	Before, After string // as JSON
}

// Changes compares two JSON texts field by field; arrays are compared as a whole. It
// gives the fields of the first in their order, then those that are new.
func Changes(before, after []byte) []Change { return changes(nil, "", before, after) }

func changes(list []Change, field string, before, after []byte) []Change {
	was, errWas := Read(before)
	is, errIs := Read(after)
	if errWas != nil || errIs != nil || before == nil || after == nil {
		if b, a := compact(before), compact(after); a != b {
			list = append(list, Change{field, b, a})
		}
		return list
	}
	var names []string
	for _, m := range slices.Concat(was, is) {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	for _, name := range names {
		list = changes(list, strings.TrimPrefix(field+"."+name, "."), was.Get(name), is.Get(name))
	}
	return list
}

// compact is a JSON text on one line; what is not JSON stays as it is.
func compact(text []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return string(text)
	}
	return b.String()
}
