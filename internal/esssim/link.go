package esssim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// linkAnswer is what CreateUserAutoSignSealUrl answers. Url is always there; the
// rest is empty for a long link.
type linkAnswer struct {
	AppID         string `json:"AppId"`
	AppOriginalID string `json:"AppOriginalId"`
	URL           string `json:"Url"`
	Path          string
	QrCode        string
	RequestID     string `json:"RequestId"`
}

// The vendor's mini-program (vendor docs).
const (
	miniProgramID         = "wxa023b292fd19d41d"
	miniProgramOriginalID = "gh_da88f6188665"
)

// maxLinkLife is how far ahead ExpiredTime may be (vendor docs).
const maxLinkLife = 30 * 24 * time.Hour

// idCardNumbers are the forms of an identity number by its type. The check digit
// is not checked: the vendor's own examples have wrong ones.
var idCardNumbers = map[string]*regexp.Regexp{
	"ID_CARD":                   regexp.MustCompile(`^\d{17}[\dX]$`),
	"HONGKONG_MACAO_AND_TAIWAN": regexp.MustCompile(`^\d{17}[\dX]$`),
	"HONGKONG_AND_MACAO":        regexp.MustCompile(`^[HM]\d{10}$`),
}

// link mints a link with which a person who has auto-sign changes the seal it
// uses. Every call mints another.
func (s *Sim) link(c *call) outcome {
	op, org, refused := s.acting(c)
	if refused != (refusal{}) {
		return outcome{refused: refused}
	}
	if !op.rights.autoSign || !org.autoSign {
		return no("OperationDenied", textDenied)
	}
	if bad := c.checkLink(); bad != "" {
		return no("InvalidParameter", bad)
	}
	who := identity{c.text("UserInfo", "IdCardType"), c.text("UserInfo", "IdCardNumber"), c.text("UserInfo", "Name")}
	if !s.world.autoSigns(who, c.text("SceneKey")) {
		return no("FailedOperation", textNoAutoSign)
	}
	return outcome{fields: s.mint(c), committed: true}
}

// checkLink gives what is wrong with the parameters, if anything.
func (c *call) checkLink() string {
	number := idCardNumbers[c.text("UserInfo", "IdCardType")]
	switch {
	case !slices.Contains([]string{SceneKey, OtherSceneKey}, c.text("SceneKey")):
		return textBadScene
	case c.data["EndPoint"] != nil && !slices.Contains([]string{"HTTP", "HTTP_SHORT_URL", "APP"}, c.text("EndPoint")):
		return textBadEndPoint
	case c.text("UserInfo", "Name") == "":
		return textNoName
	case number == nil || !number.MatchString(c.text("UserInfo", "IdCardNumber")):
		return textBadIDCard
	}
	if at, ok := c.data["ExpiredTime"].(float64); ok {
		if end := int64(at); end < c.now.Unix() || end > c.now.Add(maxLinkLife).Unix() {
			return textBadExpiredTime
		}
	}
	return ""
}

// mint makes up a link, in all forms or in the long one only.
func (s *Sim) mint(c *call) linkAnswer {
	token := s.token(11)
	if c.text("EndPoint") == "HTTP" {
		return linkAnswer{
			URL:       "https://res.ess.tencent.cn/cdn/h5-activity/jump-mp.html?to=KA_AUTO_ESIGN_MODIFY&shortKey=" + token + "&confToken=" + s.token(32),
			RequestID: c.requestID,
		}
	}
	return linkAnswer{
		AppID:         miniProgramID,
		AppOriginalID: miniProgramOriginalID,
		URL:           "https://essurl.cn/" + token,
		Path:          "pages/guide/index?to=KA_AUTO_ESIGN_MODIFY&shortKey=" + token,
		QrCode:        base64.StdEncoding.EncodeToString(append(onePixel, token...)),
		RequestID:     c.requestID,
	}
}

// onePixel is a PNG. It is no QR code, but a picture to any decoder, with the
// token behind its end so that no two are alike. Its capacity is its length:
// an append never writes into it.
var onePixel = slices.Clip([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU" +
	"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"))

// token makes up n letters and digits.
func (s *Sim) token(n int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[s.rng.IntN(len(digits))]
	}
	return string(b)
}

// newRequestID makes one up in the shape the action's examples have: a UUID, or
// an s and 19 digits.
func (s *Sim) newRequestID(c *call) string {
	if c.action != "BindEmployeeUserIdWithClientOpenId" && c.action != "UnbindEmployeeUserIdWithClientOpenId" {
		return "s" + strconv.FormatUint(1e18+s.rng.Uint64N(9e18), 10)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], s.rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], s.rng.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4, as in RFC 9562
	id := make([]byte, 0, 36)
	for i, group := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			id = append(id, '-')
		}
		id = hex.AppendEncode(id, group)
	}
	return string(id)
}
