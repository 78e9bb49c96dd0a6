package handlers

import (
	"cmp"
	"context"

	"essworker/internal/essapi"
)

type sealGrantRequested struct {
	Agent struct {
		AppID              string `json:"appId"`
		OrganizationOpenID string `json:"proxyOrganizationOpenId"`
		Operator           struct {
			OpenID string `json:"openId"`
		} `json:"proxyOperator"`
	} `json:"agent"`
	SealID  string   `json:"sealId"`
	UserIDs []string `json:"userIds"`
}

type sealGranted struct {
	SealID         string              `json:"sealId"`
	Granted        []string            `json:"granted"`
	AlreadyGranted []string            `json:"alreadyGranted"`
	RequestID      string              `json:"requestId"`
	Verification   *sealOperatorVerify `json:"operatorVerification,omitempty"`
}

// sealOperatorVerify is there when the grant waits for the operator's face check.
type sealOperatorVerify struct {
	Path      string `json:"path"`
	QRCodeURL string `json:"qrCodeUrl"`
}

// grantSeal lets employees of a client organisation use one of its seals.
func (h handlers) grantSeal(in sealGrantRequested) (request[sealGranted], error) {
	app, org := cmp.Or(in.Agent.AppID, h.defaults.AppID), in.Agent.OrganizationOpenID
	req := request[sealGranted]{
		subject: in.SealID,
		tenant:  app + "/" + org,
		call: func(ctx context.Context) (sealGranted, error) {
			got, err := h.api.GrantSeal(ctx, essapi.GrantSeal{
				AppID: app, OrganizationOpenID: org, OperatorOpenID: in.Agent.Operator.OpenID,
				SealID: in.SealID, UserIDs: in.UserIDs,
			})
			out := sealGranted{in.SealID, got.Granted, got.Already, got.RequestID, nil}
			if got.VerifyPath != "" || got.VerifyQRCode != "" {
				out.Verification = &sealOperatorVerify{got.VerifyPath, got.VerifyQRCode}
			}
			return out, err
		},
	}
	if app == "" {
		req.tenant = "" // nobody's: only events that need the default wait
		return req, missing("agent.appId", "ESS_APP_ID")
	}
	return req, nil
}
