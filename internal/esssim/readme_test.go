package esssim_test

import (
	"os"
	"strings"
	"testing"

	"essworker/internal/esssim"
)

// README.md is where people look kinds, seeds and prefixes up.
func TestREADME_complete(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		esssim.SecretID, esssim.SecretKey, esssim.HeadOrganizationID, esssim.OperatorUserID, esssim.LinkOperatorUserID,
		esssim.EmployeeUserID, esssim.Employee2UserID, esssim.Employee3UserID, esssim.FormerEmployeeID,
		esssim.SubsidiaryID, esssim.SubsidiaryEmployeeID, esssim.AppID, esssim.ClientOpenID, esssim.ClientOperatorOpenID,
		esssim.ClientClerkOpenID, esssim.GranteeUserID, esssim.GranteeOpenID, esssim.Grantee2UserID, esssim.Grantee2OpenID,
		esssim.UnverifiedUserID, esssim.SealID, esssim.Seal2ID, esssim.StoppedSealID, esssim.Client2OpenID,
		esssim.Client2OperatorOpenID, esssim.Client2SealID, esssim.Client2GranteeUserID, esssim.PersonName,
		esssim.PersonIDCardNumber, esssim.PersonWithoutName, esssim.PersonWithoutIDCardNumber,
		esssim.EmployeePrefix, esssim.OperatorPrefix, esssim.SubsidiaryPrefix, esssim.SealPrefix, esssim.ClientPrefix,
		esssim.OpenIDPrefix, esssim.IDCardNumberPrefix,
		esssim.ThrottleUin, esssim.ThrottleGlobalUin, esssim.ThrottleIP, esssim.ThrottleBusiness, esssim.ThrottleQuery, esssim.ThrottleQuota,
		esssim.WordingASCII, esssim.WordingCase, string(esssim.Hostile),
	}
	for _, k := range esssim.Kinds() {
		want = append(want, string(k))
	}
	for _, s := range want {
		if !strings.Contains(string(b), "`"+s+"`") {
			t.Errorf("README.md does not have `%s`", s)
		}
	}
}
