internal import Yams
internal import Crypto
internal import CryptoExtras
