package handlers

import (
	"cmp"
	"context"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/fault"
)

const (
	linkDefault = 7 * 24 * time.Hour  // the vendor's own default
	linkLongest = 30 * 24 * time.Hour // the vendor's limit
	// A link of exactly the longest life is refused when the vendor's clock is a
	// little behind ours, so the longest one asked for is a minute shorter.
	linkSlack = time.Minute
)

type linkRequested struct {
	SceneKey string `json:"sceneKey"`
	Person   struct {
		Name         string `json:"name"`
		IDCardType   string `json:"idCardType"`
		IDCardNumber string `json:"idCardNumber"`
	} `json:"userInfo"`
	ValidFor  string     `json:"validFor"`
	ExpiresAt *time.Time `json:"expiresAt"`
	Operator  string     `json:"operatorUserId"`
	Agent     essAgent   `json:"agent"`
}

type linkCreated struct {
	URL           string    `json:"url"`
	Path          string    `json:"path"`
	QRCode        string    `json:"qrCode"`
	AppID         string    `json:"appId"`
	AppOriginalID string    `json:"appOriginalId"`
	ExpiresAt     time.Time `json:"expiresAt"`
	RequestID     string    `json:"requestId"`
}

// createLink makes a link with which a person changes the seal used for auto-sign.
func (h handlers) createLink(in linkRequested) (request[linkCreated], error) {
	operator := cmp.Or(in.Operator, h.defaults.Operator)
	req := request[linkCreated]{
		subject: in.SceneKey,
		tenant:  cmp.Or(in.Agent.OrganizationID, operator),
		call: func(ctx context.Context) (linkCreated, error) {
			expires, err := in.expiry(time.Now()) // again: the event may have waited for days
			if err != nil {
				return linkCreated{}, err
			}
			got, err := h.api.CreateSealLink(ctx, essapi.CreateSealLink{
				Operator: operator, OrganizationID: in.Agent.OrganizationID, SceneKey: in.SceneKey,
				Person: essapi.Person(in.Person), ExpiresAt: expires,
			})
			return linkCreated{got.URL, got.Path, got.QRCode, got.AppID, got.AppOriginalID, expires, got.RequestID}, err
		},
	}
	if in.ExpiresAt != nil {
		req.expires = in.ExpiresAt.Truncate(time.Second)
	}
	if _, err := in.expiry(time.Now()); err != nil {
		return req, err
	}
	if operator == "" {
		req.tenant = "" // nobody's: only events that need the default wait
		return req, missing("operatorUserId", "ESS_OPERATOR_USER_ID")
	}
	return req, nil
}

// expiry is when a link made now shall end, in whole seconds as the vendor counts.
func (in linkRequested) expiry(now time.Time) (time.Time, error) {
	now = now.UTC().Truncate(time.Second)
	var expires time.Time
	if in.ExpiresAt != nil {
		expires = in.ExpiresAt.UTC().Truncate(time.Second)
	}
	switch {
	case in.ValidFor == "" && in.ExpiresAt == nil:
		return now.Add(linkDefault), nil
	case in.ValidFor != "":
		life, err := time.ParseDuration(in.ValidFor)
		if err != nil {
			return now, fault.Errorf(fault.Invalid, "BadDuration", "/validFor is not a duration such as 168h or 90m")
		}
		if life <= 0 || life > linkLongest {
			return now, fault.Errorf(fault.Invalid, "OutOfRange", "/validFor must be more than zero and at most 720h")
		}
		expires = now.Add(life + time.Second - 1).Truncate(time.Second)
	case !expires.After(now):
		return now, fault.Errorf(fault.Expired, "Expired", "/expiresAt was already past when the event's turn came")
	case expires.After(now.Add(linkLongest)):
		return now, fault.Errorf(fault.Invalid, "OutOfRange", "/expiresAt is more than 30 days ahead")
	}
	if latest := now.Add(linkLongest - linkSlack); expires.After(latest) {
		expires = latest
	}
	return expires, nil
}
