package esssim

import (
	"cmp"
	"maps"
	"slices"
)

// State is what the vendor holds, sorted by id. It names no person: their
// entities are hashes, as in the record.
type State struct {
	Organisations []OrganisationState `json:"organisations"`
	Employees     []EmployeeState     `json:"employees"`
	Seals         []SealState         `json:"seals"`
	People        []PersonState       `json:"people"`
	Counters      map[string]Counters `json:"counters"` // by action; "other" is what is none
}

// OrganisationState is an enterprise.
type OrganisationState struct {
	ID       string `json:"id"`
	OpenID   string `json:"openId,omitempty"` // of a client, within its application
	AppID    string `json:"appId,omitempty"`  // of a client
	Parent   string `json:"parent,omitempty"` // of a subsidiary
	Verified bool   `json:"verified"`
	AutoSign bool   `json:"autoSign"` // the service is open
}

// EmployeeState is an employee of one organisation.
type EmployeeState struct {
	UserID       string `json:"userId"`
	OpenID       string `json:"openId,omitempty"` // bound to it
	Organisation string `json:"organisation"`
	Verified     bool   `json:"verified"`
	Active       bool   `json:"active"`
	EditStaff    bool   `json:"editStaff"` // as an operator: may bind
	MakeLinks    bool   `json:"makeLinks"` // may make auto-sign links
	GrantSeals   bool   `json:"grantSeals"`
}

// SealState is a seal and who may use it.
type SealState struct {
	ID           string   `json:"id"`
	Organisation string   `json:"organisation"`
	Active       bool     `json:"active"`
	UserIDs      []string `json:"userIds"`
}

// PersonState is a seeded person: LinkEntity for each scene with auto-sign.
type PersonState struct {
	AutoSign []string `json:"autoSign"`
}

// State gives a copy of the vendor's state.
func (s *Sim) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{
		Organisations: s.world.organisationStates(),
		Employees:     s.world.employeeStates(),
		Seals:         s.world.sealStates(),
		People:        s.world.personStates(),
		Counters:      map[string]Counters{},
	}
	for action, n := range s.record.counters {
		st.Counters[action] = *n
	}
	return st
}

func (w *world) organisationStates() []OrganisationState {
	list := make([]OrganisationState, 0, len(w.orgs))
	for _, id := range slices.Sorted(maps.Keys(w.orgs)) {
		o := w.orgs[id]
		list = append(list, OrganisationState{ID: id, Parent: o.parent, Verified: o.verified, AutoSign: o.autoSign})
	}
	for app, clients := range w.apps {
		for openID, o := range clients {
			i, _ := slices.BinarySearchFunc(list, o.id, func(s OrganisationState, id string) int { return cmp.Compare(s.ID, id) })
			list[i].AppID, list[i].OpenID = app, openID
		}
	}
	return list
}

func (w *world) employeeStates() []EmployeeState {
	list := make([]EmployeeState, 0, len(w.employees))
	for _, id := range slices.Sorted(maps.Keys(w.employees)) {
		e := w.employees[id]
		list = append(list, EmployeeState{
			UserID: id, OpenID: e.openID, Organisation: e.org.id, Verified: e.verified, Active: e.active,
			EditStaff: e.rights.editStaff, MakeLinks: e.rights.autoSign, GrantSeals: e.rights.grantSeals,
		})
	}
	return list
}

func (w *world) sealStates() []SealState {
	list := make([]SealState, 0, len(w.seals))
	for _, id := range slices.Sorted(maps.Keys(w.seals)) {
		s := w.seals[id]
		users := slices.AppendSeq([]string{}, maps.Keys(s.users))
		slices.Sort(users)
		list = append(list, SealState{ID: id, Organisation: s.org.id, Active: s.active, UserIDs: users})
	}
	return list
}

func (w *world) personStates() []PersonState {
	list := make([]PersonState, 0, len(w.people))
	for who, scenes := range w.people {
		p := PersonState{AutoSign: []string{}}
		for scene := range scenes {
			p.AutoSign = append(p.AutoSign, LinkEntity(scene, who.name, who.kind, who.number))
		}
		slices.Sort(p.AutoSign)
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b PersonState) int { return slices.Compare(a.AutoSign, b.AutoSign) })
	return list
}
