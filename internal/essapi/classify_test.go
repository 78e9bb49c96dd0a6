package essapi_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/fault"
)

// meaning is what a fault says for event and lane.
type meaning struct {
	kind  fault.Kind
	scope fault.Scope
	tries int
	after time.Duration
}

func meaningOf(f *fault.Error) meaning { return meaning{f.Kind, f.Scope, f.Tries, f.RetryAfter} }

var (
	transient = meaning{kind: fault.Transient}
	ambiguous = meaning{fault.Transient, "", 3, 5 * time.Second}
	permanent = meaning{kind: fault.Permanent}
	refused   = meaning{kind: fault.Permanent, scope: fault.Tenant}
	throttled = meaning{kind: fault.Throttled, after: time.Second}
	badKey    = meaning{kind: fault.Misconfigured, scope: fault.Credential}
	badAction = meaning{kind: fault.Misconfigured, scope: fault.Action}
	badTenant = meaning{kind: fault.Misconfigured, scope: fault.Tenant}
)

// wantCodes is the vendor's list of codes, sorted by what they mean to us: those
// of all its products, those documented for the three actions, those of the two
// products that may come up, and some nobody has seen, for the fallback.
var wantCodes = []struct {
	meaning meaning
	codes   string
}{
	{transient, `InternalError InternalError.Api InternalError.Cache InternalError.CallOpenCloudApiError
		InternalError.Callback InternalError.Db InternalError.DbConnection InternalError.DbInsert InternalError.DbRead
		InternalError.DbUpdate InternalError.DependsApi InternalError.DependsDb InternalError.JsonMarshal
		InternalError.JsonUnmarshal InternalError.Mq InternalError.Serialize InternalError.System
		InternalError.ThirdParty InternalError.NeverSeen ResourceInUse ServiceUnavailable ServiceUnavailable.A.B`},
	{meaning{fault.Transient, "", 3, 0}, `InternalError.Decryption InternalError.Encryption`},
	{meaning{fault.Transient, "", 5, time.Minute}, `ResourceInsufficient`},
	{meaning{fault.Transient, "", 5, 0}, `ResourceUnavailable`},
	{ambiguous, `FailedOperation FailedOperation.NeverSeen NeverSeen NeverSeen.Ever`},

	{throttled, `RequestLimitExceeded RequestLimitExceeded.NeverSeen`},
	{meaning{fault.Throttled, fault.Credential, 0, time.Second}, `RequestLimitExceeded.GlobalRegionUinLimitExceeded
		RequestLimitExceeded.UinLimitExceeded RequestLimitExceeded.IPLimitExceeded`},
	{meaning{fault.Throttled, "", 0, 5 * time.Second}, `FailedOperation.RequestLimitExceeded OperationDenied.OutQueryLimit`},
	{meaning{fault.Throttled, "", 0, time.Minute}, `LimitExceeded LimitExceeded.CallTimes`},

	{permanent, `DryRunOperation InvalidParameter InvalidParameter.ParamError InvalidParameter.DataExists
		InvalidParameter.NeverSeen InvalidParameterValue InvalidParameterValue.InvalidTime InvalidParameterValue.NeverSeen
		MissingParameter MissingParameter.SealId MissingParameter.OrgOpenId MissingParameter.ProxyOperatorOpenId
		MissingParameter.NeverSeen RequestSizeLimitExceeded ResponseSizeLimitExceeded ResourceNotFound
		ResourceNotFound.Seal ResourceNotFound.User ResourceNotFound.VerifyUser ResourceNotFound.NeverSeen
		UnknownParameter UnsupportedOperation
		InternalError.DbNoRowFound InternalError.DbDataDeleted InternalError.DataNotFound
		FailedOperation.AgeNotAchieveNormalLegal FailedOperation.IdCardNumberCheckFailed FailedOperation.UserInfoNoMatch
		FailedOperation.NotFoundShadowUser OperationDenied.AlreadyHas OperationDenied.UserNotInOrganization
		OperationDenied.NoIdentityVerify OperationDenied.NoVerify OperationDenied.PersonNoOpenServerSign
		OperationDenied.PersonServerSignForbid OperationDenied.InvalidApproverAge OperationDenied.UserNoAudit
		OperationDenied.Forbid`},
	{refused, `OperationDenied OperationDenied.NeverSeen UnauthorizedOperation UnauthorizedOperation.NeverSeen`},

	{badKey, `AuthFailure AuthFailure.NeverSeen AuthFailure.InvalidAuthorization AuthFailure.InvalidSecretId
		AuthFailure.MFAFailure AuthFailure.SecretIdNotFound AuthFailure.SignatureExpire AuthFailure.SignatureFailure
		AuthFailure.TokenFailure FailedOperation.AuthFail IpInBlacklist IpNotInWhitelist`},
	{badAction, `ActionOffline AuthFailure.UnauthorizedOperation InvalidAction InvalidRequest NoSuchProduct NoSuchVersion
		UnsupportedProtocol UnsupportedRegion`},
	{badTenant, `UnauthorizedOperation.NoPermissionFeature UnauthorizedOperation.UnauthorizedOperationOrganization
		OperationDenied.NoApiAuth OperationDenied.WhiteListForbid OperationDenied.NotInAutoSignWhiteList
		OperationDenied.NoOpenServerSign OperationDenied.OrganizationClosing OperationDenied.OrganizationNotActivated
		OperationDenied.LicenseHasExpired OperationDenied.NotFoundLicense OperationDenied.NoQuota
		OperationDenied.BannedApplication OperationDenied.OperatorHasNoPermission
		OperationDenied.NotBelongSuperAdminOrLegalPerson OperationDenied.NoLogin OperationDenied.SubOrgNotJoin
		FailedOperation.LicenseNoQuota FailedOperation.BalanceNotEnough FailedOperation.OrganizationExperienceChange
		FailedOperation.OrganizationNameChanged FailedOperation.OrganizationNameNeedChange FailedOperation.NoRoleAuth
		ResourceNotFound.Application ResourceNotFound.ApplicationId ResourceNotFound.NotExistApplication
		ResourceNotFound.Organization ResourceNotFound.AuthActiveOrganization InvalidParameter.Application
		InvalidParameter.InvalidOperatorId InvalidParameter.OperatorId InvalidParameter.InvalidOrganizationId`},
}

func TestClient_codes(t *testing.T) {
	for _, want := range wantCodes {
		for code := range strings.FieldsSeq(want.codes) {
			for _, action := range []string{bind, grant, link} {
				f := faultOf(t, refuses(code, "说明"), action)
				if got := meaningOf(f); got != want.meaning || f.Code != code || f.RequestID != "r1" || f.Message != "说明" {
					t.Errorf("%s answered %s = %+v (%+v), want %+v", action, code, got, f, want.meaning)
				}
			}
		}
	}
}

// Every row of the table is among the codes above, but for those of ours, which
// the tests of answers and transport bring about.
func TestClient_codesComplete(t *testing.T) {
	var tested []string
	for _, want := range wantCodes {
		tested = append(tested, strings.Fields(want.codes)...)
	}
	tested = append(tested, "FailedOperation.HasAuthorized") // in TestClient_messages
	tested = append(tested, oursTested...)
	for _, row := range essapi.Rows() {
		prefix, star := strings.CutSuffix(row.Code, "*")
		if !slices.ContainsFunc(tested, func(c string) bool { return c == row.Code || star && strings.HasPrefix(c, prefix) }) {
			t.Errorf("code %s is in the table and in no test", row.Code)
		}
	}
}

// wantMessages are texts as the vendor's documentation prints them, as its punctuation and
// letter case have been seen to wobble, and texts that only look alike.
var wantMessages = []struct {
	action, code, message string
	want                  meaning // of a failure; none is a success
}{
	{bind, "InvalidParameter", "该userId已绑定该openId，无需重新绑定", meaning{}},
	{bind, "InvalidParameter", "该userId已绑定该openId,无需重新绑定", meaning{}},
	{bind, "InvalidParameter", "该USERID 已绑定该 “OpenID”。", meaning{}},
	{bind, "InvalidParameter.ParamError", "无需重新绑定", meaning{}},
	{bind, "InvalidParameter", "该openid已绑定其他userid，请解绑后重试", permanent},
	{bind, "InvalidParameter", "该openid已绑定其他userid,请解绑后重试", permanent},
	{bind, "InvalidParameter", "该openid已绑定其他userid，无需重新绑定", permanent},
	{bind, "InvalidParameter", "openId格式错误", permanent},
	{bind, "FailedOperation", "该userId已绑定该openId，无需重新绑定", ambiguous},
	{grant, "InvalidParameter", "该userId已绑定该openId，无需重新绑定", permanent},
	{grant, "FailedOperation.HasAuthorized", "已授权。", meaning{}},
	{bind, "FailedOperation.HasAuthorized", "已授权。", ambiguous},
	{grant, "InvalidParameter.ParamError", "缺失印章ID", permanent},
	{grant, "InvalidParameter.ParamError", "无效的授权用户Id", permanent},
	{link, "FailedOperation", "用户未开通自动签", permanent},
	{link, "OperationDenied", "个人未开通自动签", permanent},
	{bind, "FailedOperation", "用户未开通自动签", ambiguous},
	{bind, "FailedOperation", "请求的次数超过了频率限制，请联系客服处理。", meaning{fault.Throttled, "", 0, 5 * time.Second}},
	{link, "FailedOperation.NeverSeen", "系统繁忙，请稍后重试", transient},
	{bind, "FailedOperation.BalanceNotEnough", "请稍后重试", badTenant},
	{bind, "UnauthorizedOperation", "You are not authorized to perform operation (ess:X) resource (*) has no permission.", badAction},
	{bind, "UnauthorizedOperation", "权限不足 qcs::ess:::*", badAction},
	{bind, "UnauthorizedOperation", "您无权执行操作 (ess:" + bind + ")", badAction},
	{bind, "UnauthorizedOperation", "未授权操作（编辑组织架构）", refused},
	{bind, "InvalidParameterValue", "A value specified in `X-TC-Region` is not valid, is unsupported, or cannot be used.", badAction},
	{bind, "MissingParameter", "The request is missing a required parameter `Version`.", badAction},
	{bind, "MissingParameter", "The request is missing a required parameter `Timestamp`.", badAction},
	{bind, "MissingParameter", "The request is missing a required parameter `Action`.", badAction},
	{bind, "MissingParameter", "The request is missing a required parameter `X-TC-Action`.", badAction},
	{bind, "MissingParameter", "The request is missing a required parameter `OpenId`.", permanent},
}

func TestClient_messages(t *testing.T) {
	for _, tt := range wantMessages {
		got, err := call(t.Context(), newClient(t, refuses(tt.code, tt.message)), tt.action)
		switch {
		case tt.want == meaning{} && err != nil:
			t.Errorf("%s answered %s %q: %v, want success", tt.action, tt.code, tt.message, err)
		case tt.want != meaning{} && err == nil:
			t.Errorf("%s answered %s %q = %+v, want an error", tt.action, tt.code, tt.message, got)
		case tt.want != meaning{} && meaningOf(fault.Of(err)) != tt.want:
			t.Errorf("%s answered %s %q = %+v, want %+v", tt.action, tt.code, tt.message, fault.Of(err), tt.want)
		}
	}
}

// Every text of every rule is in a message above; only the two actions that say
// what a success without an answer means may have one.
func TestClient_messagesComplete(t *testing.T) {
	letters := regexp.MustCompile(`[^\p{L}\p{Nd}]+`)
	for _, r := range essapi.Rules() {
		for _, text := range r.Texts {
			text = strings.ReplaceAll(text, "{action}", strings.ToLower(r.Action+bind))
			if !slices.ContainsFunc(wantMessages, func(m struct {
				action, code, message string
				want                  meaning
			},
			) bool {
				return (r.Action == "" || r.Action == m.action) && strings.Contains(strings.ToLower(letters.ReplaceAllString(m.message, "")), text)
			}) {
				t.Errorf("text %q of %s %s is in no test", text, r.Action, r.Code)
			}
		}
		if r.Done && r.Action != bind && r.Action != grant {
			t.Errorf("rule %+v makes a success of an action that must give an output", r)
		}
	}
}

func TestMend(t *testing.T) {
	for _, row := range essapi.Rows() {
		got := essapi.Mend(bind, strings.TrimSuffix(row.Code, "*"))
		if row.Mend == "" || strings.Count(got, ". ") > 0 || !strings.HasSuffix(got, ".") || len(got) < 20 {
			t.Errorf("Mend(bind, %s) = %q, want one sentence", row.Code, got)
		}
	}
	for _, a := range essapi.Advice() {
		if got := essapi.Mend(a[0], a[1]); got == "" || (a[0] != "" && got == essapi.Mend("another", a[1])) {
			t.Errorf("Mend(%s, %s) = %q, want the action's own advice", a[0], a[1], got)
		}
	}
	for code, want := range map[string]string{
		"InvalidParameter.NeverSeen": essapi.Mend("another", "InvalidParameter"),
		"HTTP502":                    essapi.Mend(bind, "ServiceUnavailable"),
		"NeverSeen":                  "",
		"SchemaViolation":            essapi.Mend("another", "OutOfRange"),
		"":                           "",
	} {
		if got := essapi.Mend(bind, code); got != want {
			t.Errorf("Mend(bind, %q) = %q, want %q", code, got, want)
		}
	}
}

func TestGrantSeal_hasAuthorized(t *testing.T) {
	got, err := newClient(t, refuses("FailedOperation.HasAuthorized", "已授权。")).GrantSeal(t.Context(), sampleGrant)
	if err != nil || !slices.Equal(got.Already, sampleGrant.UserIDs) || got.Granted == nil || len(got.Granted) > 0 || got.RequestID != "r1" {
		t.Errorf("GrantSeal answered HasAuthorized = %+v, %v, want all already granted", got, err)
	}
}

func TestBindEmployee_sameTwiceIsSuccess(t *testing.T) {
	got, err := newClient(t, refuses("InvalidParameter", "该userId已绑定该openId，无需重新绑定")).BindEmployee(t.Context(), sampleBind)
	if want := (essapi.Bound{Already: true, RequestID: "r1"}); err != nil || got != want {
		t.Errorf("BindEmployee a second time = %+v, %v, want %+v", got, err, want)
	}
	got, err = newClient(t, says(http.StatusOK, successes[bind])).BindEmployee(t.Context(), sampleBind)
	if want := (essapi.Bound{RequestID: "fc0b0a6b-01b4-4042-b236-c5356af1d5d8"}); err != nil || got != want {
		t.Errorf("BindEmployee = %+v, %v, want %+v", got, err, want)
	}
}
