package essapi

import (
	"context"
	"time"
)

// The product ess, the enterprise edition: an employee of the organisation acts.
const (
	essService = "ess"
	essVersion = "2020-11-11"

	actionBind = "BindEmployeeUserIdWithClientOpenId"
	actionLink = "CreateUserAutoSignSealUrl"
)

// essUser is ess.UserInfo, as far as it is not hidden.
type essUser struct {
	UserID string `json:"UserId"`
}

// essAgent is ess.Agent: a group parent acting for a subsidiary.
type essAgent struct {
	ProxyOrganizationID string `json:"ProxyOrganizationId"`
}

// BindEmployee asks to bind an employee's id on the platform to the caller's own.
type BindEmployee struct {
	Operator       string // UserId of the employee who acts
	UserID         string // the employee on the platform
	OpenID         string // the employee in the caller's system: 1 to 64 letters and digits (vendor docs)
	OrganizationID string // the subsidiary acted for; empty is the operator's own organisation
}

// Bound is a binding that stands.
type Bound struct {
	Already   bool // it stood before this call
	RequestID string
}

type bindRequest struct {
	Operator essUser  `json:"Operator"`
	UserID   string   `json:"UserId"`
	OpenID   string   `json:"OpenId"`
	Agent    essAgent `json:"Agent,omitzero"`
}

type bindAnswer struct {
	head
	Status *int64 `json:"Status"`
}

func (a *bindAnswer) missing() string {
	switch {
	case a.Status == nil:
		return codeIncomplete
	case *a.Status != 1:
		return codeNotBound
	}
	return ""
}

// BindEmployee calls BindEmployeeUserIdWithClientOpenId. That this very pair is
// bound already is a success (vendor docs: the call is not idempotent and answers
// a repeat with an error); that the OpenID belongs to another employee is a
// permanent fault. The error is a [fault.Error], or the context's if ctx ended.
func (c *Client) BindEmployee(ctx context.Context, in BindEmployee) (Bound, error) {
	r, err := c.call(ctx, &c.bind, bindRequest{
		Operator: essUser{in.Operator},
		UserID:   in.UserID,
		OpenID:   in.OpenID,
		Agent:    essAgent{in.OrganizationID},
	}, &bindAnswer{})
	if err != nil {
		return Bound{}, err
	}
	return Bound{Already: r.already, RequestID: r.requestID}, nil
}

// Person is who a link is for. All of it is personal data.
type Person struct {
	Name         string
	IDCardType   string // ID_CARD, HONGKONG_AND_MACAO or HONGKONG_MACAO_AND_TAIWAN
	IDCardNumber string
}

// CreateSealLink asks for a link with which a person changes the seal of their
// automatic signing.
type CreateSealLink struct {
	Operator       string // UserId of the employee who acts
	OrganizationID string // the subsidiary acted for; empty is the operator's own organisation
	SceneKey       string // E_PRESCRIPTION_AUTO_SIGN or OTHER
	Person         Person
	ExpiresAt      time.Time // to the second, at most 30 days ahead; zero is the vendor's 7 days
}

// SealLink is a link as the vendor made it. URL, Path and QRCode let their holder
// change a signing seal: they are secrets.
type SealLink struct {
	URL           string
	Path          string // of the mini program
	QRCode        string // base64 of an image
	AppID         string // of the mini program
	AppOriginalID string
	RequestID     string
}

type linkRequest struct {
	Operator    essUser     `json:"Operator"`
	SceneKey    string      `json:"SceneKey"`
	UserInfo    threeFactor `json:"UserInfo"`
	Agent       essAgent    `json:"Agent,omitzero"`
	ExpiredTime int64       `json:"ExpiredTime,omitzero"` // unix seconds
}

// threeFactor is UserThreeFactor.
type threeFactor struct {
	Name         string `json:"Name"`
	IDCardType   string `json:"IdCardType"`
	IDCardNumber string `json:"IdCardNumber"`
}

type linkAnswer struct {
	head
	URL           string `json:"Url"`
	Path          string `json:"Path"`
	QRCode        string `json:"QrCode"`
	AppID         string `json:"AppId"`
	AppOriginalID string `json:"AppOriginalId"`
}

func (a *linkAnswer) missing() string {
	if a.URL == "" {
		return codeIncomplete
	}
	return ""
}

// CreateSealLink calls CreateUserAutoSignSealUrl. Each call makes a new link, and
// earlier ones stay valid (inferred). The error is a [fault.Error], or the
// context's if ctx ended.
func (c *Client) CreateSealLink(ctx context.Context, in CreateSealLink) (SealLink, error) {
	req := linkRequest{
		Operator: essUser{in.Operator},
		SceneKey: in.SceneKey,
		UserInfo: threeFactor(in.Person),
		Agent:    essAgent{in.OrganizationID},
	}
	if !in.ExpiresAt.IsZero() {
		req.ExpiredTime = in.ExpiresAt.Unix()
	}
	var out linkAnswer
	r, err := c.call(ctx, &c.link, req, &out, in.Person.Name, in.Person.IDCardNumber)
	if err != nil {
		return SealLink{}, err
	}
	return SealLink{
		URL:           out.URL,
		Path:          out.Path,
		QRCode:        out.QRCode,
		AppID:         out.AppID,
		AppOriginalID: out.AppOriginalID,
		RequestID:     r.requestID,
	}, nil
}
