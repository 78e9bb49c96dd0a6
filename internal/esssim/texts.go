package esssim

import (
	"fmt"
	"maps"
	"slices"
)

// text is a gateway message in the two languages of X-TC-Language. Those that
// end in "[sim]" are invented; the others have been seen.
type text struct{ zh, en string }

// in gives the text in the language asked for: Chinese for zh-CN, else English,
// as the vendor's gateway does without the header.
func (t text) in(language string, args ...any) string {
	format := t.en
	if language == "zh-CN" {
		format = t.zh
	}
	return fmt.Sprintf(format, args...)
}

// Messages of the gateway, in the order of its checks.
var (
	textProtocol      = text{"不支持的请求方法，仅支持 POST。[sim]", "The request method is not supported, use POST. [sim]"}
	textContentType   = text{"Content-Type 必须为 application/json。[sim]", "The Content-Type must be application/json. [sim]"}
	textMissing       = text{"请求缺少必选参数 `%s`。[sim]", "The request is missing a required parameter `%s`."}
	textAuthorization = text{"请求头 Authorization 不符合规范。[sim]", "The Authorization header is malformed. [sim]"}
	textSecretID      = text{"SecretId 不存在，请检查您的 SecretId 是否正确。[sim]", "The SecretId is not found, please ensure that your SecretId is correct."}
	textExpire        = text{"签名已过期，时间戳与服务器时间相差超过五分钟。[sim]", "The signature has expired: the timestamp is more than five minutes off. [sim]"}
	textToken         = text{"Token 验证失败，请检查您的 Token 是否正确。[sim]", "Token verification failed, please check if your Token is correct"}
	textSignature     = text{"请求签名验证失败，请检查您的签名计算是否正确。", "The provided credentials could not be validated. Please check your signature is correct."}
	textAddress       = text{"IP 地址 %s 不允许访问。[sim]", "The address %s is not allowed. [sim]"}
	textCAM           = text{camText, camText}
	textProduct       = text{"产品 %q 不存在。[sim]", "There is no product %q. [sim]"}
	textVersion       = text{"接口版本 %q 不存在。[sim]", "There is no version %q. [sim]"}
	textAction        = text{"接口 %q 不存在。[sim]", "There is no action %q. [sim]"}
	textRegion        = text{"`X-TC-Region` 的值无效。[sim]", "A value specified in `X-TC-Region` is not valid, is unsupported, or cannot be used."}
	textNoRegion      = text{"不支持该地域。[sim]", "The region is not supported. [sim]"}
	textTooFast       = text{"您当前每秒请求 `%d` 次，超过了每秒频率上限 `%d`，请稍后重试。", "Your current request times equals to `%d` in a second, which exceeds the frequency limit `%d` for a second. Please reduce the frequency of calls."}
	textTooLarge      = text{"请求包超过 10 MB。[sim]", "The request is larger than 10 MB. [sim]"}
	textNotObject     = text{"请求包不是 JSON 对象。[sim]", "The request body is not a JSON object. [sim]"}
	textUnknown       = text{"参数 `%s` 未定义。[sim]", "The parameter `%s` is not recognized."}
	textWrongType     = text{"参数 `%s` 类型错误。[sim]", "The parameter `%s` has the wrong type. [sim]"}
)

// camText has been seen in English only, whatever the language.
const camText = "You are not authorized to perform operation (%s:%s) resource (qcs::%s::uin/%s:*) has no permission."

// Messages of the business. They are Chinese in every language, as seen.
const (
	textBoundSame     = "该userId已绑定该openId，无需重新绑定"
	textBoundOther    = "该openid已绑定其他userid，请解绑后重试"
	textNotBound      = "该openId并未绑定企业员工"
	textNoSealID      = "缺失印章ID"
	textNoSuchGrantee = "无效的授权用户Id"
	textNotFound      = "资源不存在。"
	textNoAutoSign    = "用户未开通自动签"
	textDenied        = "操作被拒绝。"
	textNoRight       = "未授权操作（编辑组织架构）"

	textHasOtherOpenID  = "该userId已绑定其他openId。[sim]"
	textNoSuchEmployee  = "员工不存在或已离职。[sim]"
	textBadOpenID       = "openId仅支持1至64位字母和数字。[sim]"
	textNoSuchOperator  = "经办人不存在。[sim]"
	textUnverified      = "经办人未实名。[sim]"
	textNotSubsidiary   = "该企业不是集团子企业。[sim]"
	textNoApplication   = "应用不存在。[sim]"
	textNoOrganization  = "子客企业不存在。[sim]"
	textOrgUnverified   = "子客企业未实名。[sim]"
	textNoOrgOpenID     = "子客企业OpenId为空。[sim]"
	textNoOperatorID    = "经办人OpenId为空。[sim]"
	textOperatorLacks   = "经办人没有该印章的管理权限。[sim]"
	textSealStopped     = "印章已停用。[sim]"
	textNoGrantees      = "授权用户Id列表为空。[sim]"
	textBadScene        = "SceneKey取值错误。[sim]"
	textBadEndPoint     = "EndPoint取值错误。[sim]"
	textBadIDCard       = "证件类型或证件号码格式错误。[sim]"
	textBadExpiredTime  = "ExpiredTime须在当前时间与其后30天之间。[sim]"
	textNoName          = "姓名为空。[sim]"
	textBadOptionSwitch = "Option取值错误。[sim]"
)

// throttleCodes are the refusals for speed, by Fault.Variant.
var throttleCodes = map[string]string{
	"":                "RequestLimitExceeded",
	ThrottleUin:       "RequestLimitExceeded.UinLimitExceeded",
	ThrottleGlobalUin: "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
	ThrottleIP:        "RequestLimitExceeded.IPLimitExceeded",
	ThrottleBusiness:  "FailedOperation.RequestLimitExceeded",
	ThrottleQuery:     "OperationDenied.OutQueryLimit",
	ThrottleQuota:     "LimitExceeded.CallTimes",
}

// throttleVariants lists them, for the message of a refused fault.
func throttleVariants() []string { return slices.Sorted(maps.Keys(throttleCodes)) }

// codeTexts are the vendor's own texts for codes that faults name.
var codeTexts = map[string]string{
	"AuthFailure":                          "CAM签名/鉴权错误。",
	"FailedOperation":                      "操作失败。",
	"FailedOperation.AuthFail":             "鉴权失败。",
	"FailedOperation.HasAuthorized":        "已授权。",
	"FailedOperation.RequestLimitExceeded": "请求的次数超过了频率限制，请联系客服处理。",
	"InternalError":                        "内部错误。",
	"InternalError.Db":                     "数据库异常。",
	"InternalError.DependsDb":              "数据库异常。",
	"InternalError.DependsApi":             "依赖的第三方API返回错误。",
	"InternalError.Decryption":             "解密失败。",
	"InternalError.Encryption":             "加密失败。",
	"InvalidParameter":                     "参数错误。",
	"InvalidParameter.DataExists":          "数据已存在。",
	"InvalidParameter.ParamError":          "参数错误。",
	"LimitExceeded.CallTimes":              "调用次数超过限制。[sim]",
	"MissingParameter":                     "缺少参数错误。",
	"MissingParameter.SealId":              "印章ID为空。",
	"OperationDenied":                      "操作被拒绝。",
	"OperationDenied.NoApiAuth":            "没有API权限。",
	"OperationDenied.OutQueryLimit":        "查询限频。[sim]",
	"ResourceNotFound":                     "资源不存在。",

	"UnauthorizedOperation.NoPermissionFeature": "请升级到对应版本后即可使用该接口。",
}
