package esssim

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// world is the vendor's state: who is there and what they may do. The lock of
// its Sim guards it.
type world struct {
	orgs      map[string]*organisation // by id
	employees map[string]*employee     // by UserId
	seals     map[string]*seal         // by id
	people    map[identity]map[string]bool
	apps      map[string]map[string]*organisation // by AppId, then by the client's OpenId
}

// organisation is an enterprise: the head of a group, one of its subsidiaries,
// or a client of an application.
type organisation struct {
	id       string
	parent   string // of a subsidiary
	verified bool
	autoSign bool                 // the service is open
	openIDs  map[string]*employee // by the OpenId they are bound to
}

// employee belongs to one organisation.
type employee struct {
	userID   string
	openID   string
	org      *organisation
	verified bool
	active   bool
	rights   rights
}

// rights are what an employee may do as an operator.
type rights struct{ editStaff, autoSign, grantSeals bool }

var allRights = rights{editStaff: true, autoSign: true, grantSeals: true}

// seal belongs to one organisation and may be used by some of its employees.
type seal struct {
	id     string
	org    *organisation
	active bool
	users  map[string]bool // by UserId
}

// identity is who a person is. It never leaves the package.
type identity struct{ kind, number, name string }

// Entities with these prefixes need no seeding: they are there from their first
// use on, so that load and random tests have as many as they want.
const (
	EmployeePrefix     = "yDSIM"   // + up to 27 letters and digits: a UserId, verified, in the organisation that uses it first
	OperatorPrefix     = "yDOPER"  // + up to 26 letters and digits: a UserId, verified, with all rights in the head organisation
	SubsidiaryPrefix   = "yDORG"   // + up to 27 letters and digits: a subsidiary of the head organisation, with auto-sign
	SealPrefix         = "yDSEAL"  // + up to 26 letters and digits: an active seal of the organisation that uses it first
	ClientPrefix       = "org_sim" // + anything, 64 in all: a client of AppID, verified
	OpenIDPrefix       = "sim"     // + anything, 64 in all: an OpenId in any client of AppID, verified, with all rights
	IDCardNumberPrefix = "990000"  // + 12 more digits: an ID_CARD whose owner, by any name, has auto-sign for every scene
)

// generated says whether an id of the vendor's own kind follows one of the rules.
func generated(id, prefix string) bool {
	return strings.HasPrefix(id, prefix) && alphanumeric(id, len(prefix)+1, 32)
}

// employ adds an employee.
func (w *world) employ(e employee) *employee {
	if e.openID != "" {
		e.org.openIDs[e.openID] = &e
	}
	w.employees[e.userID] = &e
	return &e
}

// found adds an organisation.
func (w *world) found(o organisation) *organisation {
	o.openIDs = map[string]*employee{}
	w.orgs[o.id] = &o
	return &o
}

// employee finds an employee of the organisation by UserId.
func (w *world) employee(org *organisation, userID string) (*employee, bool) {
	e := w.employees[userID]
	if e == nil && generated(userID, EmployeePrefix) {
		e = w.employ(employee{userID: userID, org: org, verified: true, active: true})
	}
	return e, e != nil && e.org == org
}

// operator finds whoever acts in a call of product ess.
func (w *world) operator(userID string) (*employee, bool) {
	e := w.employees[userID]
	if e == nil && generated(userID, OperatorPrefix) {
		e = w.employ(employee{userID: userID, org: w.orgs[HeadOrganizationID], verified: true, active: true, rights: allRights})
	}
	return e, e != nil && e.active
}

// subsidiary finds an organisation the head of a group may act for.
func (w *world) subsidiary(head *organisation, id string) (*organisation, bool) {
	o := w.orgs[id]
	if o == nil && generated(id, SubsidiaryPrefix) {
		o = w.found(organisation{id: id, parent: HeadOrganizationID, verified: true, autoSign: true})
	}
	return o, o != nil && o.parent == head.id
}

// client finds a client organisation of an application.
func (w *world) client(app, openID string) (*organisation, bool) {
	clients := w.apps[app]
	o := clients[openID]
	if o == nil && clients != nil && strings.HasPrefix(openID, ClientPrefix) && len(openID) <= 64 {
		o = w.found(organisation{id: made("yDCL", app, openID), verified: true})
		clients[openID] = o
	}
	return o, o != nil
}

// byOpenID finds an employee of a client organisation by OpenId.
func (w *world) byOpenID(org *organisation, openID string) (*employee, bool) {
	e := org.openIDs[openID]
	if e == nil && strings.HasPrefix(openID, OpenIDPrefix) && len(openID) <= 64 {
		e = w.employ(employee{
			userID: made("yDOI", org.id, openID), openID: openID, org: org,
			verified: true, active: true, rights: allRights,
		})
	}
	return e, e != nil
}

// seal finds a seal of the organisation.
func (w *world) seal(org *organisation, id string) (*seal, bool) {
	s := w.seals[id]
	if s == nil && generated(id, SealPrefix) {
		s = &seal{id: id, org: org, active: true, users: map[string]bool{}}
		w.seals[id] = s
	}
	return s, s != nil && s.org == org
}

// autoSigns says whether the person has enabled auto-sign for the scene.
func (w *world) autoSigns(who identity, scene string) bool {
	if who.kind == "ID_CARD" && strings.HasPrefix(who.number, IDCardNumberPrefix) {
		return true
	}
	return w.people[who][scene]
}

// made derives a 32-character id from names, the same each time.
func made(prefix string, names ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	return (prefix + hex.EncodeToString(sum[:]))[:32]
}
