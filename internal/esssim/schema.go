package esssim

import (
	"cmp"
	"math"
	"strconv"
)

// shape is what a property may hold. The zero shape is a string.
type shape struct {
	kind  shapeKind
	elem  *shape          // of a list
	props map[string]prop // of an object; any other property is unknown
}

type shapeKind int

const (
	isText shapeKind = iota
	isInteger
	isList
	isObject
)

// prop is a property of an object. Hidden properties (defined, but not shown in
// the vendor's pages) are ordinary optional ones: they are accepted.
type prop struct {
	shape

	required bool
}

func object(props map[string]prop) shape { return shape{kind: isObject, props: props} }

func need(s shape) prop     { return prop{s, true} }
func optional(s shape) prop { return prop{s, false} }

// The structures, per product: those of one name differ between the two.
var (
	str     = shape{}
	integer = shape{kind: isInteger}

	essOperator = object(map[string]prop{
		"UserId":  need(str),
		"Channel": optional(str), "OpenId": optional(str), "ClientIp": optional(str), "ProxyIp": optional(str),
	})
	essAgent = object(map[string]prop{
		"ProxyOrganizationId": need(str),
		"AppId":               optional(str), "ProxyAppId": optional(str), "ProxyOperator": optional(str),
	})
	basicOperator = object(map[string]prop{
		"OpenId":  need(str),
		"Channel": optional(str), "CustomUserId": optional(str), "ClientIp": optional(str), "ProxyIp": optional(str),
	})
	basicHiddenOperator = object(map[string]prop{
		"OpenId":  optional(str),
		"Channel": optional(str), "CustomUserId": optional(str), "ClientIp": optional(str), "ProxyIp": optional(str),
	})
	basicAgent = object(map[string]prop{
		"AppId":                   need(str),
		"ProxyOrganizationOpenId": need(str),
		"ProxyOperator":           need(basicOperator),
		"ProxyAppId":              optional(str), "ProxyOrganizationId": optional(str),
	})
	basicOrganization = object(map[string]prop{
		"OrganizationOpenId": need(str),
		"OrganizationId":     optional(str), "Channel": optional(str), "ClientIp": optional(str), "ProxyIp": optional(str),
	})
	person = object(map[string]prop{
		"Name": need(str), "IdCardType": need(str), "IdCardNumber": need(str),
	})
	option = object(map[string]prop{"Key": need(str), "Value": need(str)})

	bindParams = object(map[string]prop{
		"Operator": need(essOperator), "UserId": need(str), "OpenId": need(str), "Agent": optional(essAgent),
	})
	grantParams = object(map[string]prop{
		"Agent": need(basicAgent), "SealId": need(str), "UserIds": need(shape{kind: isList, elem: &str}),
		"Options":  optional(shape{kind: isList, elem: &option}),
		"Operator": optional(basicHiddenOperator), "Organization": optional(basicOrganization),
	})
	linkParams = object(map[string]prop{
		"Operator": need(essOperator), "SceneKey": need(str), "UserInfo": need(person), "Agent": optional(essAgent),
		"ExpiredTime": optional(integer), "EndPoint": optional(str),
	})
)

// findings are the paths of the first fault of each sort in a value; first is by
// name, since the order of a JSON object's properties means nothing. A finding is
// empty if there is none of its sort, and "." if it is the value itself.
type findings struct{ unknown, wrong, missing string }

// inspect compares a decoded value with its shape. A null is as good as absent.
func (s *shape) inspect(v any) (f findings) {
	ok := false
	switch s.kind {
	case isText:
		_, ok = v.(string)
	case isInteger:
		n, number := v.(float64)
		ok = number && n == math.Trunc(n) && math.Abs(n) < 1<<53
	case isList:
		var list []any
		list, ok = v.([]any)
		for i, e := range list {
			if inside := s.elem.inspect(e); inside != (findings{}) {
				f.add(strconv.Itoa(i), inside)
			}
		}
	case isObject:
		var m map[string]any
		if m, ok = v.(map[string]any); ok {
			f = s.inspectObject(m)
		}
	}
	if !ok {
		f.wrong = self
	}
	return f
}

func (s *shape) inspectObject(m map[string]any) (f findings) {
	for name, v := range m {
		p, known := s.props[name]
		switch {
		case !known:
			f.add(name, findings{unknown: self})
		case v != nil:
			f.add(name, p.inspect(v))
		}
	}
	for name, p := range s.props {
		if p.required && m[name] == nil {
			f.add(name, findings{missing: self})
		}
	}
	return f
}

// self is the path of a finding that is the value itself.
const self = "."

// add takes over what was found inside the part of that name.
func (f *findings) add(name string, inside findings) {
	first(&f.unknown, name, inside.unknown)
	first(&f.wrong, name, inside.wrong)
	first(&f.missing, name, inside.missing)
}

// first keeps the smaller of two paths.
func first(kept *string, name, inside string) {
	if inside == "" {
		return
	}
	path := cmp.Or(name, `""`)
	if inside != self {
		path += "." + inside
	}
	if *kept == "" || path < *kept {
		*kept = path
	}
}
