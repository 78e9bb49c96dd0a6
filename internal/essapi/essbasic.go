package essapi

import (
	"context"
	"slices"
)

// The product essbasic, the edition of third-party platforms: an application acts
// for an organisation that is its client.
const (
	basicService = "essbasic"
	basicVersion = "2021-05-26"

	actionGrant = "ChannelCreateSealPolicy"
)

// basicAgent is essbasic.Agent, as far as it is neither hidden nor to be left empty.
type basicAgent struct {
	AppID                   string    `json:"AppId"`
	ProxyOrganizationOpenID string    `json:"ProxyOrganizationOpenId"`
	ProxyOperator           basicUser `json:"ProxyOperator"`
}

// basicUser is essbasic.UserInfo: it has no UserId.
type basicUser struct {
	OpenID string `json:"OpenId"`
}

// GrantSeal asks to let employees of a client organisation use one of its seals.
type GrantSeal struct {
	AppID              string
	OrganizationOpenID string // the client organisation in the caller's system
	OperatorOpenID     string // the employee who acts, in the caller's system
	SealID             string
	UserIDs            []string // UserIds or OpenIds, each at most once
}

// Granted is what became of a grant. Every id of the request is in Granted or in
// Already, in the order of the request, unless the operator must verify first.
type Granted struct {
	Granted []string // granted by this call; never nil
	Already []string // had the seal before; never nil
	// VerifyPath and VerifyQRCode are set if the vendor wants the operator's face
	// checked before the grant holds (inferred from the SDK's metadata). It is not known
	// then who had the seal before, and Already is empty. Both are secrets.
	VerifyPath   string
	VerifyQRCode string // URL of an image
	RequestID    string
}

type grantRequest struct {
	Agent   basicAgent `json:"Agent"`
	SealID  string     `json:"SealId"`
	UserIDs []string   `json:"UserIds"`
}

type grantAnswer struct {
	head
	UserIDs      []string `json:"UserIds"`
	VerifyPath   string   `json:"SealOperatorVerifyPath"`
	VerifyQRCode string   `json:"SealOperatorVerifyQrcodeUrl"`
}

func (a *grantAnswer) verify() bool { return a.VerifyPath != "" || a.VerifyQRCode != "" }

// missing wants the list, which may be empty, or the request to verify.
func (a *grantAnswer) missing() string {
	if a.UserIDs == nil && !a.verify() {
		return codeIncomplete
	}
	return ""
}

// GrantSeal calls ChannelCreateSealPolicy. The vendor lists only those it newly
// granted (vendor docs), so a shorter list, an empty one and the code for "has it
// already" are successes. The error is a [fault.Error], or the context's if ctx
// ended.
func (c *Client) GrantSeal(ctx context.Context, in GrantSeal) (Granted, error) {
	var out grantAnswer
	r, err := c.call(ctx, &c.grant, grantRequest{
		Agent:   basicAgent{in.AppID, in.OrganizationOpenID, basicUser{in.OperatorOpenID}},
		SealID:  in.SealID,
		UserIDs: in.UserIDs,
	}, &out)
	if err != nil {
		return Granted{}, err
	}
	g := Granted{
		Granted:      []string{},
		Already:      []string{},
		VerifyPath:   out.VerifyPath,
		VerifyQRCode: out.VerifyQRCode,
		RequestID:    r.requestID,
	}
	for _, id := range in.UserIDs {
		switch {
		case slices.Contains(out.UserIDs, id):
			g.Granted = append(g.Granted, id)
		case !out.verify():
			g.Already = append(g.Already, id)
		}
	}
	return g, nil
}
