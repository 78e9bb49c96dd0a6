package essapi

import (
	"time"

	"essworker/internal/fault"
)

// This file is data: what each code means. The vendor's codes and texts are from
// its documentation and SDK metadata; which class a code falls in is our reading
// of them. How the tables are searched is in classify.go.

// class is what a failure means for event and lane.
type class struct {
	kind  fault.Kind
	scope fault.Scope
	tries int           // Transient: fewer attempts than the policy's
	after time.Duration // not to be tried earlier
}

var (
	transient = class{kind: fault.Transient}
	fewTries  = class{kind: fault.Transient, tries: 3}                         // may be bound to the data
	slow      = class{kind: fault.Transient, tries: 5, after: time.Minute}     // the vendor lacks room
	ambiguous = class{kind: fault.Transient, tries: 3, after: 5 * time.Second} // the code does not decide

	throttled = class{kind: fault.Throttled, after: time.Second}
	allLanes  = class{kind: fault.Throttled, scope: fault.Credential, after: time.Second}
	business  = class{kind: fault.Throttled, after: 5 * time.Second} // a limiter behind the gateway's
	quotaUsed = class{kind: fault.Throttled, after: time.Minute}

	permanent = class{kind: fault.Permanent}
	refused   = class{kind: fault.Permanent, scope: fault.Tenant} // dead-lettered, and counted against the tenant

	badKey    = class{kind: fault.Misconfigured, scope: fault.Credential}
	badAction = class{kind: fault.Misconfigured, scope: fault.Action}
	badTenant = class{kind: fault.Misconfigured, scope: fault.Tenant}
)

// Advice that holds for several codes.
const (
	mendNone      = "Nothing to mend here: the vendor had a passing fault, replay the letters once it answers again."
	mendEvent     = "Correct the event by what the message names, then replay the letter."
	mendUpgrade   = "The worker and the vendor's API have drifted apart: upgrade the worker or report it, then replay."
	mendEndpoint  = "Check that endpoint and product belong together and that the vendor still offers the action."
	mendPerson    = "The person's data or standing at the vendor is in the way: settle it with them, then replay or discard."
	mendTenant    = "The organisation's standing, contract or licence at the vendor is in the way: settle it in the vendor's console."
	mendRights    = "Give the operator or organisation the missing right in the vendor's console."
	mendApp       = "Check the application, organisation or operator the event names, or its default in the settings."
	mendKey       = "Check SecretId, SecretKey and token, and that they belong to this environment (production or sandbox)."
	mendPace      = "Nothing is lost: lower --rate, or see what else calls with the same credential; a raise is by ticket to the vendor."
	mendAnswer    = "Something between the worker and the vendor garbles answers: check proxy and endpoint, then replay the letters."
	mendPublisher = "The message is no readable event: mend the publisher and have it publish anew, then discard the letter."
	mendData      = "Correct the fields the message names with worker dlq edit, and tell the publisher."
	mendCrash     = "The event crashes or stalls its worker: look for it in the worker's log and report it; replay after an upgrade."
	mendNetwork   = "Check network, DNS and proxy between the worker and the vendor."
)

// row is one code. A code ending in * stands for every code that starts so.
type row struct {
	code string
	class
	mend string
}

// codes is searched for the exact code, then for the longest code it extends by
// further dotted parts; so a row also speaks for sub-codes nobody has seen yet.
var codes = []row{
	// Signature and credential.
	{"AuthFailure", badKey, mendKey},
	{"AuthFailure.InvalidAuthorization", badKey, "Look for a proxy that rewrites headers between the worker and the vendor."},
	{"AuthFailure.InvalidSecretId", badKey, mendKey},
	{"AuthFailure.MFAFailure", badKey, "Use a credential that needs no second factor."},
	{"AuthFailure.SecretIdNotFound", badKey, "The key is deleted, disabled or mistyped, or a sandbox key met production or the reverse: give the right one."},
	{codeExpired, badKey, "Set this machine's clock: it is more than five minutes off the vendor's."},
	{"AuthFailure.SignatureFailure", badKey, "Check the SecretKey, and that no proxy changes requests on their way."},
	{"AuthFailure.TokenFailure", badKey, "Renew the temporary credential: id, key and token together."},
	{"AuthFailure.UnauthorizedOperation", badAction, "Grant the sub-account this action in CAM, with resource *."},
	{"FailedOperation.AuthFail", badKey, mendKey},
	{"IpInBlacklist", badKey, "Take this machine's address off the credential's deny list."},
	{"IpNotInWhitelist", badKey, "Add this machine's address to the credential's allow list."},

	// Action, version, protocol.
	{"ActionOffline", badAction, mendEndpoint},
	{"InvalidAction", badAction, mendEndpoint},
	{"InvalidRequest", badAction, mendUpgrade},
	{"NoSuchProduct", badAction, mendEndpoint},
	{"NoSuchVersion", badAction, mendEndpoint},
	{"UnsupportedProtocol", badAction, "Look for a proxy that changes the method between the worker and the vendor."},
	{"UnsupportedRegion", badAction, mendEndpoint},

	// Rights. The text tells the vendor's access management from its business.
	{"UnauthorizedOperation", refused, "Give the operator the role the message names in the vendor's console, then replay the letters."},
	{"UnauthorizedOperation.NoPermissionFeature", badTenant, mendTenant},
	{"UnauthorizedOperation.UnauthorizedOperationOrganization", badTenant, mendRights},

	// Pace and quota.
	{"RequestLimitExceeded", throttled, mendPace},
	{"RequestLimitExceeded.GlobalRegionUinLimitExceeded", allLanes, mendPace},
	{"RequestLimitExceeded.UinLimitExceeded", allLanes, mendPace},
	{"RequestLimitExceeded.IPLimitExceeded", allLanes, "Other callers share this machine's address: find them, or give the worker an address of its own."},
	{"FailedOperation.RequestLimitExceeded", business, "Ask the vendor's support to raise the organisation's limit."},
	{"OperationDenied.OutQueryLimit", business, "Ask the vendor's support to raise the organisation's limit."},
	{"LimitExceeded", quotaUsed, "A quota at the vendor is used up: raise it there; the lane resumes by itself."},
	{"LimitExceeded.CallTimes", quotaUsed, "A quota of calls at the vendor is used up: raise it there; the lane resumes by itself."},

	// The vendor's own faults.
	{"InternalError", transient, mendNone},
	{"InternalError.Api", transient, mendNone},
	{"InternalError.Cache", transient, mendNone},
	{"InternalError.CallOpenCloudApiError", transient, mendNone},
	{"InternalError.Callback", transient, mendNone},
	{"InternalError.Db", transient, mendNone},
	{"InternalError.DbConnection", transient, mendNone},
	{"InternalError.DbInsert", transient, mendNone},
	{"InternalError.DbRead", transient, mendNone},
	{"InternalError.DbUpdate", transient, mendNone},
	{"InternalError.DependsApi", transient, mendNone},
	{"InternalError.DependsDb", transient, mendNone},
	{"InternalError.JsonMarshal", transient, mendNone},
	{"InternalError.JsonUnmarshal", transient, mendNone},
	{"InternalError.Mq", transient, mendNone},
	{"InternalError.Serialize", transient, mendNone},
	{"InternalError.System", transient, mendNone},
	{"InternalError.ThirdParty", transient, mendNone},
	{"InternalError.Decryption", fewTries, "Replay the letter; if it fails again, the person's data is what the vendor cannot read."},
	{"InternalError.Encryption", fewTries, "Replay the letter; if it fails again, the person's data is what the vendor cannot read."},
	{"InternalError.DataNotFound", permanent, mendEvent}, // these three look transient and are not
	{"InternalError.DbDataDeleted", permanent, mendEvent},
	{"InternalError.DbNoRowFound", permanent, mendEvent},
	{"ResourceInUse", transient, mendNone},
	{"ResourceInsufficient", slow, mendNone},
	{"ResourceUnavailable", class{kind: fault.Transient, tries: 5}, mendNone},
	{"ServiceUnavailable", transient, mendNone},

	// Codes that decide nothing without their text.
	{"FailedOperation", ambiguous, "The code says nothing: go by the message, then replay or discard the letter."},
	{"FailedOperation.HasAuthorized", ambiguous, "The grant is already there: check the seal's holders, then discard the letter."},

	// The request.
	{"DryRunOperation", permanent, mendUpgrade},
	{"InvalidParameter", permanent, mendEvent},
	{"InvalidParameter.DataExists", permanent, "Check whether it is already as the event wants it; if so, discard the letter."},
	{"InvalidParameter.ParamError", permanent, mendEvent},
	{"InvalidParameterValue", permanent, mendEvent},
	{"InvalidParameterValue.InvalidTime", permanent, "The expiry was past or over 30 days ahead when the call was made: give validFor instead, then replay."},
	{"MissingParameter", permanent, mendEvent},
	{"MissingParameter.OrgOpenId", permanent, mendEvent},
	{"MissingParameter.ProxyOperatorOpenId", permanent, mendEvent},
	{"MissingParameter.SealId", permanent, mendEvent},
	{"RequestSizeLimitExceeded", permanent, "Split the event into smaller ones and discard the letter."},
	{"ResourceNotFound", permanent, "What the event names does not exist at the vendor: correct the ids, then replay."},
	{"ResourceNotFound.Seal", permanent, "The seal does not exist: correct sealId, then replay."},
	{"ResourceNotFound.User", permanent, "No such employee: correct the user id or add the employee, then replay."},
	{"ResourceNotFound.VerifyUser", permanent, mendPerson},
	{"ResponseSizeLimitExceeded", permanent, "Split the event into smaller ones and discard the letter."},
	{"UnknownParameter", permanent, mendUpgrade},
	{"UnsupportedOperation", permanent, mendEvent},

	// The person.
	{"FailedOperation.AgeNotAchieveNormalLegal", permanent, mendPerson},
	{"FailedOperation.IdCardNumberCheckFailed", permanent, mendPerson},
	{"FailedOperation.NotFoundShadowUser", permanent, mendPerson},
	{"FailedOperation.UserInfoNoMatch", permanent, mendPerson},
	{"OperationDenied.Forbid", permanent, mendPerson},
	{"OperationDenied.InvalidApproverAge", permanent, mendPerson},
	{"OperationDenied.NoIdentityVerify", permanent, mendPerson},
	{"OperationDenied.NoVerify", permanent, mendPerson},
	{"OperationDenied.PersonNoOpenServerSign", permanent, "The person must enable automatic signing first; then replay the letter."},
	{"OperationDenied.PersonServerSignForbid", permanent, mendPerson},
	{"OperationDenied.UserNoAudit", permanent, mendPerson},
	{"OperationDenied.UserNotInOrganization", permanent, "Add the person to the organisation, then replay the letter."},

	// The organisation, operator or application.
	{"OperationDenied", refused, mendRights},
	{"OperationDenied.AlreadyHas", permanent, "Check whether it is already as the event wants it; if so, discard the letter."},
	{"OperationDenied.BannedApplication", badTenant, mendTenant},
	{"OperationDenied.LicenseHasExpired", badTenant, mendTenant},
	{"OperationDenied.NoApiAuth", badTenant, mendRights},
	{"OperationDenied.NoLogin", badTenant, mendRights},
	{"OperationDenied.NoOpenServerSign", badTenant, "The organisation must have automatic signing enabled by the vendor."},
	{"OperationDenied.NoQuota", badTenant, mendTenant},
	{"OperationDenied.NotBelongSuperAdminOrLegalPerson", badTenant, mendRights},
	{"OperationDenied.NotFoundLicense", badTenant, mendTenant},
	{"OperationDenied.NotInAutoSignWhiteList", badTenant, "The organisation must be allowed automatic signing by the vendor's account manager."},
	{"OperationDenied.OperatorHasNoPermission", badTenant, mendRights},
	{"OperationDenied.OrganizationClosing", badTenant, mendTenant},
	{"OperationDenied.OrganizationNotActivated", badTenant, mendTenant},
	{"OperationDenied.SubOrgNotJoin", badTenant, mendTenant},
	{"OperationDenied.WhiteListForbid", badTenant, "The organisation must be allowed this feature by the vendor's account manager."},
	{"FailedOperation.BalanceNotEnough", badTenant, mendTenant},
	{"FailedOperation.LicenseNoQuota", badTenant, mendTenant},
	{"FailedOperation.NoRoleAuth", badTenant, mendRights},
	{"FailedOperation.OrganizationExperienceChange", badTenant, mendTenant},
	{"FailedOperation.OrganizationNameChanged", badTenant, mendTenant},
	{"FailedOperation.OrganizationNameNeedChange", badTenant, mendTenant},
	{"InvalidParameter.Application", badTenant, mendApp},
	{"InvalidParameter.InvalidOperatorId", badTenant, mendApp},
	{"InvalidParameter.InvalidOrganizationId", badTenant, mendApp},
	{"InvalidParameter.OperatorId", badTenant, mendApp},
	{"ResourceNotFound.Application*", badTenant, mendApp},
	{"ResourceNotFound.AuthActiveOrganization", badTenant, mendApp},
	{"ResourceNotFound.NotExistApplication", badTenant, mendApp},
	{"ResourceNotFound.Organization", badTenant, mendApp},

	// Ours: no answer, or not one from the vendor's service.
	{codeTimeout, transient, mendNetwork},
	{codeUnreachable, transient, mendNetwork},
	{codeBroken, transient, mendNetwork},
	{codeCertificate, badAction, "Check the endpoint, this machine's root certificates and any proxy that opens TLS."},
	{codeNotTLS, badAction, "The endpoint's port speaks plain http: correct the endpoint's scheme or port."},
	{codeNotJSON, ambiguous, mendAnswer},
	{codeTooLarge, ambiguous, mendAnswer},
	{codeIncomplete, ambiguous, mendAnswer},
	{codeNoCode, ambiguous, "The vendor refused without a code: go by the message and its RequestId, then replay or discard."},
	{codeNotBound, ambiguous, "The vendor answered without an error but with status 0: look the employee up in its console, then replay."},
	{"HTTP3*", badAction, "The endpoint redirects, and the worker never follows: correct --ess-endpoint or --essbasic-endpoint."},
	{"HTTP401", badAction, mendEndpoint},
	{"HTTP403", badAction, "Something in front of the vendor refuses this machine: check endpoint, proxy and firewall."},
	{"HTTP404", badAction, mendEndpoint},
	{"HTTP405", badAction, mendEndpoint},
	{"HTTP407", badAction, "Give the proxy the credentials it wants."},
	{"HTTP413", permanent, "Split the event into smaller ones and discard the letter."},
	{"HTTP429", throttled, mendPace},
	{"HTTP5*", transient, mendNone},
	{"HTTP*", ambiguous, mendAnswer},
}

// rule is a text that says what its code leaves open.
type rule struct {
	action string // empty is any
	code   string // that of a row; ending in * as there
	// texts are compared as [normalise] leaves them; one of them in the message is
	// enough. {action} is the name of the action called. None matches every message.
	texts []string
	done  bool // it is already as the event wants it: a success
	class
	// telling says that the text alone decides: a message that no rule of this
	// action and code knows is counted, since the vendor may have changed one.
	telling bool
}

// rules are tried in order after the code has found its row.
var rules = []rule{
	// One openId, another employee: before the next, whose words it nearly shares.
	{action: actionBind, code: "InvalidParameter*", texts: []string{"已绑定其他"}, class: permanent, telling: true},
	{action: actionBind, code: "InvalidParameter*", texts: []string{"已绑定该openid", "无需重新绑定"}, done: true, telling: true},
	{action: actionGrant, code: "FailedOperation.HasAuthorized", done: true},
	{action: actionGrant, code: "InvalidParameter.ParamError", texts: []string{"缺失印章id", "无效的授权用户id"}, class: permanent, telling: true},
	{action: actionLink, code: "*", texts: []string{"未开通自动签"}, class: permanent},
	{code: "FailedOperation", texts: []string{"频率限制"}, class: business, telling: true},
	{code: "FailedOperation", texts: []string{"稍后重试"}, class: transient, telling: true},
	// The vendor's access management names the action or the resource; business texts do not.
	{code: "UnauthorizedOperation", texts: []string{"notauthorized", "qcs", "{action}"}, class: badAction, telling: true},
	{code: "UnauthorizedOperation", texts: []string{"未授权操作"}, class: refused, telling: true},
	{code: "InvalidParameterValue*", texts: []string{"xtcregion"}, class: badAction},
	// A parameter of every action is missing: the fault is not the event's.
	{code: "MissingParameter", texts: []string{"parameteraction", "parameterversion", "parametertimestamp", "xtc"}, class: badAction},
}

// mends is advice for a code under one action, where its row cannot know better, and
// for codes of ours that no answer has, under any action.
var mends = []struct{ action, code, mend string }{
	{actionBind, "InvalidParameter", "If the message says the openId belongs to another employee, unbind that one or correct the event; else correct what it names; then replay."},
	{actionGrant, "InvalidParameter.ParamError", "Correct sealId or userIds by what the message names: each must exist in the organisation; then replay."},
	{actionLink, "FailedOperation", "If the message says 未开通自动签, the person must enable automatic signing first; then replay the letter."},

	{"", "NotACloudEvent", mendPublisher},
	{"", "NotJSON", mendPublisher},
	{"", "UnsupportedContentType", mendPublisher},
	{"", "UnsupportedSpecVersion", mendPublisher},
	{"", "MissingAttribute", mendPublisher},
	{"", "RepeatedHeader", mendPublisher},
	{"", "RepeatedAttribute", mendPublisher},
	{"", "BadAttribute", mendPublisher},
	{"", "BadTime", mendPublisher},
	{"", "TypeMismatch", "Have the publisher send each type to its own subject, publish the event anew, then discard the letter."},
	{"", "SchemaViolation", mendData},
	{"", "BadDuration", mendData},
	{"", "OutOfRange", mendData},
	{"", "Expired", "The event came too late: edit expiresAt if it is still wanted, else discard the letter."},
	{"", "ResultTooLarge", "The vendor has done it, and its answer is too large for the broker: raise max_payload, then replay."},
	{"", "Panic", mendCrash},
	{"", "NoTrace", mendCrash},
	{"", "Unclassified", "The worker met a fault it has no name for: go by the message and report it, then replay."},
}
