package handlers

import (
	"cmp"
	"context"

	"essworker/internal/essapi"
)

type employeeOnboarded struct {
	UserID   string   `json:"userId"`
	OpenID   string   `json:"openId"`
	Operator string   `json:"operatorUserId"`
	Agent    essAgent `json:"agent"`
}

// essAgent names the subsidiary a group parent acts for.
type essAgent struct {
	OrganizationID string `json:"proxyOrganizationId"`
}

type employeeBound struct {
	UserID       string `json:"userId"`
	OpenID       string `json:"openId"`
	AlreadyBound bool   `json:"alreadyBound"`
	RequestID    string `json:"requestId"`
}

// bindEmployee ties an employee's id on the platform to the caller's own.
func (h handlers) bindEmployee(in employeeOnboarded) (request[employeeBound], error) {
	operator := cmp.Or(in.Operator, h.defaults.Operator)
	req := request[employeeBound]{
		subject: in.UserID,
		tenant:  cmp.Or(in.Agent.OrganizationID, operator),
		call: func(ctx context.Context) (employeeBound, error) {
			got, err := h.api.BindEmployee(ctx, essapi.BindEmployee{
				Operator: operator, OrganizationID: in.Agent.OrganizationID, UserID: in.UserID, OpenID: in.OpenID,
			})
			return employeeBound{in.UserID, in.OpenID, got.Already, got.RequestID}, err
		},
	}
	if operator == "" {
		req.tenant = "" // nobody's: only events that need the default wait
		return req, missing("operatorUserId", "ESS_OPERATOR_USER_ID")
	}
	return req, nil
}
