/**
 * A certificate that nobody vouches for, for the tests' own servers: CN=ConvLab's tests, 127.0.0.1, until 2126. Made with
 * `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500`; its key protects nothing.
 */
export const selfSigned = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgIPfXSzbdXaKr815P
2vie1PhNuW4BDudbESUIObJQ1EahRANCAATXZxcxTgQJXII5oDPWg7DgiDdtiA8x
tBlOAjQukX7Z6+auX7FgiIJTjq8vYSoU5IIngkgxziaNmn4jI2TLOH/m
-----END PRIVATE KEY-----
`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBnTCCAUKgAwIBAgIUHw7wIlX6wT/uhx/p+qJgyS9hLEIwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPQ29udkxhYidzIHRlc3RzMCAXDTI2MTEyNDE4MzAxMloYDzIx
MjYxMDMxMTgzMDEyWjAaMRgwFgYDVQQDDA9Db252TGFiJ3MgdGVzdHMwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAATXZxcxTgQJXII5oDPWg7DgiDdtiA8xtBlOAjQu
kX7Z6+auX7FgiIJTjq8vYSoU5IIngkgxziaNmn4jI2TLOH/mo2QwYjAdBgNVHQ4E
FgQU7tU9DdOOssgKgfEeSMvsCmGPAqQwHwYDVR0jBBgwFoAU7tU9DdOOssgKgfEe
SMvsCmGPAqQwDwYDVR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqG
SM49BAMCA0kAMEYCIQCsYOAZiJonjoyfeXbdMMR11N64di87qxxVrSweVBtglAIh
AKmMXZvUnfOYCMPQjSK3NR43oeu/Re764GGaJcBtT4qs
-----END CERTIFICATE-----
`,
};
