package schemas

import (
	"strings"
	"testing"
)

// quickSeeds are data that quick has an opinion on, and neighbours of theirs.
var quickSeeds = []string{
	`{"userId":"u","openId":"n9527"}`,
	` { "openId" : "n9527" , "userId" : "典子谦" } `,
	`{"userId":"u","openId":"o","agent":{"proxyOrganizationId":"p"},"operatorUserId":"q"}`,
	`{"agent":{"proxyOrganizationOpenId":"org","proxyOperator":{"openId":"o-1_x"}},"sealId":"s","userIds":["a","b"]}`,
	`{"agent":{"proxyOrganizationOpenId":"org","proxyOperator":{"openId":"o"}},"sealId":"s","userIds":["a","a"]}`,
	`{"agent":{"proxyOrganizationOpenId":"org","proxyOperator":{"openId":"o"}},"sealId":"s","userIds":[]}`,
	`{"userId":"u","userId":"u","openId":"o"}`,
	`{"userId":"u","openId":"o",}`,
	`{"userId":"u","openId":"o"}}`,
	`{"userId":"u" "openId":"o"}`,
	`{"userId":"","openId":"o"}`,
	`{"userId":"u","openId":"o-"}`,
	`{"userId":"u","openId":"` + strings.Repeat("a", 65) + `"}`,
	"{\"userId\":\"\xff\",\"openId\":\"o\"}",
	"{\"userId\":\"\x01\",\"openId\":\"o\"}",
	`{"userId":"\u0041","openId":"o"}`,
	`{"userId":"u","openId":null}`,
	`{"userId":"u"}`, `{}`, `{`, `[]`, `"u"`, ``, ` `,
}

// FuzzQuick holds quick to its word: what it accepts, the validator accepts too.
func FuzzQuick(f *testing.F) {
	for _, seed := range quickSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, typ := range Types() {
			s := loaded().schemas[typ]
			if s.quick == nil || !s.quick.accepts([]byte(data)) {
				continue
			}
			if v := s.validate([]byte(data)); v != nil {
				t.Errorf("quick accepts %q for %s, the validator says: %v", data, typ, v)
			}
		}
	})
}

// What is usual is accepted without the validator.
func TestQuick_usual(t *testing.T) {
	for i, typ := range []string{"employee.onboarded", "employee.onboarded", "employee.onboarded", "seal.grant.requested"} {
		if s := loaded().schemas[typ]; s.quick == nil || !s.quick.accepts([]byte(quickSeeds[i])) {
			t.Errorf("quick leaves %s for %s to the validator", quickSeeds[i], typ)
		}
	}
}
