"""Names of files, folders and series say which sequence an image is, or that they do not say it."""

from __future__ import annotations

import pytest

from utad_monai.data.sequences import RawRole, modality_called, read_name
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet

PLAIN = {
    RawRole.FLAIR: """
        flair; T2_FLAIR; t2flair; t2f; AX T2 FLAIR FS post; t2_tirm_tra_dark-fluid; 3D_FLAIR_SPACE; FLAIR_to_T1
        flair2t1; FLAIR_in_T1_space
        t2_tirm_tra_dark-fluid_fs; t2_space_dark-fluid_sag_p2_iso; t2_blade_dark-fluid_tra; t2_spc_da-fl_sag
        T2 darkfluid; CUBE T2 FLAIR
        sag cube flair; VISTA FLAIR; 3D Brain VIEW FLAIR; FLAIR longTR; AX FLAIR PROPELLER; FLAIR +C
        FLAIR post Gd; FLAIR apres gado
        FLAIR tra KM; acq-darkfluid_T2w; acq-flair_T2w; sub-04_acq-3dflair_FLAIR; FLAIR_reg; flair_n4_bet
        eFLAIR_longTR; FLAIR_unstripped
        Flair TRA 3mm; FLAIR SPIR; t2_flair_fatsat; FLAIR_BLADE; FLAIR reg to T1Gd; sub-postop1_FLAIR; FLAIR post-op
    """,
    RawRole.T1: """
        t1; t1n; T1w; MPRAGE; Sag T1 MPRAGE; ax3dt1; T1 pre gad; T1 without contrast; t1_se w/o contrast; IR-FSPGR
        AX T1 WO; T1_nativ
        AX T1 WO CONTRAST; t1_se_tra ohne KM; T1 o KM; T1 o. KM; T1 vor KM; T1 nativ tra; sans gadolinium T1
        T1 avant injection; T1 sans injection
        T1 non injecte; T1 non injecté; T1 SE sin gado; T1 sem contraste; T1 s/ contraste; T1 s/c; T1 S/C
        T1 zonder gadolinium; T1 voor contrast
        T1 bez kontrastu; T1 kontrastsız; T1 utan kontrast; T1 uden kontrast; T1 prima mdc; T1 antes contraste
        T1 antes del contraste
        T1 noncontrast; T1 non-contrast; T1 non con; T1 unenhanced; T1 non enhanced; T1 NC; T1 precontrast
        pre-contrast T1; PRE T1; T1 PRE
        T1 C-; T1 K-; T1 no gad; T1 no contrast; noGd_T1; T1nc; T1 plain; T1 w/o Gd; T1 w/o; T1 prior to contrast
        T1 before gadolinium
        post-op T1; post RT T1; T1 postoperative; T1 post-surgery; T1 post surgical; T1 post chemo
        T1 post radiation; T1 post biopsy; T1 post TMZ
        T1 nach OP; T1 nach Bestrahlung; T1 post-opératoire; T1 apres chirurgie; T1 post radioterapia
        T1 dopo intervento; T1 tras cirugia
        T1 pre-op; T1 preop; T1 pre RT; pre-treatment T1; T1 na operatie; T1 intraop; postRT_T1w; posttreatment_T1
        T1_post_GK; T1 post resection
        ce-none_T1w; sub-02_ce-none_T1w; sub-02_ce-pre_T1w; ce-no_T1w; ce-native_T1w; ce-0_T1w; ce-nogd_T1w
        acq-pregd_T1w; acq-nativ_T1w
        sub-07_T1w; sub-control01_T1w; sub-07_ses-post_T1w; sub-PRE01_T1w; sub-T2x9_T1w; sub07_T1; sub_07_T1w
        sub-01_ses-postgd_run-1_T1w
        sub-01_space-T2w_T1w; sub-01_space-MNI152_desc-preproc_T1w; T1_to_T2; T1_reg_to_FLAIR; t1_in_flair_space
        T1 FOV 22 cm; T1 2 cm gap
        T1 fat sat; T1 FS; T1 fatsup; T1 non fat sat; T1 non-FS; T1 SPACE; t1_spc_sag; T1 CUBE; T1 BRAVO; FSPGR
        SAG BRAVO; 3D T1 TFE; sT1W_3D_TFE
        T1W_SE; T1W_FFE; t1_fl2d_tra; t1_fl3d; T1 GRE; t1_gre_sag; eTHRIVE; t1_starvibe; T1 LAVA; T1 BLADE
        t1_tirm_tra; T1 IR FSE; T1 TSE
        T1 sella; T1 pituitary; T1 orbita; t1_brain; T1 hippocampus; T1 BRAINLAB; t1_brainlab_mask; T1 stealth
        T1 MPR; t1_mprage_sag_p2_iso_MPR_tra
        T1_RAGE_UNI; mp2rage_UNI_DEN; UNIT1 T1w; T1_VIBE_DIXON_W; t1_vibe_dixon_tra_w; T1 mDIXON W; T1n4; T1_bet
        T1_norm; T1stripped; rT1; wT1; brT1w
        T1 ND; T1 DIS3D; T1 FA15; T1 FA 30; T1w (1); 3_t1_mprage; AX T1 SE 5mm; t1_native_space; T1 followup
        T1 baseline; T1 post-processing
    """,
    RawRole.T1CE: """
        t1ce; t1c; t1gd; T1-Gad; t1_mprage_sag_post; T1 +C; AX T1+GD; T1w with contrast; T1wCE; mprage post
        T1c_to_SRI; t1Gd_unstripped
        AX T1 C+; AX T1 C +; T1 K+; T1 KM+; T1 Gd+; T1+Gd; T1 +KM; AX T1 GADAVIST; T1 Gadovist; T1 DOTAREM
        T1 ProHance; T1 MultiHance; T1 Clariscan
        T1 Magnevist; T1 Omniscan; T1 gadobutrol; T1 gadoterate; T1 gadopiclenol; T1 Elucirem; T1 Vueway
        T1 GD-DTPA; T1 Dotagraf; T1 gadolinio
        t1_mprage_KM; t1_tra_KM; T1 mit KM; T1 m. KM; T1 mKM; T1 nach KM; T1 n. KM; T1 nach Kontrastmittel
        T1 post KM; postKM_T1; T1 Kontrast
        T1 apres injection; T1 après injection; T1 injecté; T1 injectee; T1 avec gado; T1 gado; T1 apres gado
        T1 inj; T1 avec injection de gado
        T1 con contraste; T1 con gadolinio; T1 con mdc; T1 dopo mdc; T1 m.d.c.; T1 c.i.v.; T1 CIV; T1 con civ
        T1 c/ contraste; T1 C/C; T1 com contraste
        T1 pos contraste; T1 pós-contraste; T1 apos contraste; T1 met contrast; T1 na contrast; T1 na gado
        T1 po kontrascie; T1 z kontrastem
        T1 kontrastlı; T1 med kontrast; T1 efter kontrast; T1 contrastado; T1 tras contraste
        T1 despues de contraste; T1 post contrasto
        pre-op T1 Gd; preop T1 +C; T1 Gd preop; post-op T1 Gd; postop_T1_post; T1 Gd non-FS; T1 GAD no FS
        T1 post gad non fat sat; T1 post RT gad
        pre-treatment T1 contrast; T1 postcontrast; post-contrast T1; T1 post-con; T1 w con; T1 w/ Gd; T1 w C
        T1 with C; T1 enhanced; CE-T1w; ceT1
        T1_CE; T1 IV contrast; T1 I.V.; T1 PG; T1 pGd; T1W 3D TFE GD; VIBE gad; t1_vibe_fs_post; BRAVO post
        FSPGR gad; MPRAGE+C; mprageGd; mprage_c+
        acq-postgd_T1w; ce-gadolinium_T1w; ce-gd_T1w; ce-dotarem_T1w; ce-1_T1w; acq-postcontrast_T1w
        acq-mpragepostgd_T1w; sub-03_ce-post_T1w
        sub-03_ses-pre_ce-gd_T1w; sub-nativ01_acq-gd_T1w; T1Gd_reg; T1ce_n4; T1w_CE_bet; gdT1; T1 delayed; T1 late
        T1 spät; tumor T1 Gd
        cT1ce; T1 black blood post; T1 SPACE post Gd; t1_spc_KM; T1 BB Gd; T1 VIBE DIXON W KM; T1CE_to_T2
        t1gd2flair; T1 dixon w gad; T1post; T1IV; T1 POSCONTRASTE; T1 gadolinium-enhanced
    """,
    RawRole.T2: """
        t2; T2w; t2_tse_tra; AX T2 FSE; T2 FRFSE; T2W_TSE; T2 SPACE; t2_spc_sag; CUBE T2; VISTA T2; T2 BLADE
        T2 HASTE; SSFSE T2; T2 FS; t2fs
        T2 fat sat; AX T2 PROPELLER; sT2W_TSE; T2 IAC; T2 orbits; T2_reg; T2_to_T1; t2_in_t1_space; acq-tse_T2w
        sub-01_space-T1w_T2w; T2 COR HIPPO
        T2 post gad; T2 post-op; eT2W_TSE; T2W_DRV; t2_tse_tra_448; T2W_TSE_DRIVE; T2 dixon w; T2 mDIXON_W; T2n4; brT2
    """,
    RawRole.OTHER: """
        DWI b1000; ADC; t2*_gre; T2 star; 3-plane loc; T1 map; dADC; eADC; ADC_to_T1; ep2d_diff_b1000; RESOLVE
        DTI 32 dir; T1 Mapping; T1rho; qT1
        t2_fl2d_tra_hemo; T2W_FFE; T2 FFE; T2 GRE; T2star; T2 hemo; AX T2 MERGE; T2 MEDIC; SWI; SWAN; mIP SWI
        minIP; SWI_Pha; QSM; T2 flash; t2_fl3d
        T1 SUB; T1 subtraction; Subtraktion T1; soustraction T1 gado; T1_SUB; sub T1; T1 sottrazione; DCE T1
        DSC perfusion; T1 dynamic; dyn T1 KM
        T1 perfusion; rCBV; CBF; ASL; pCASL; MTT; TOF; MRA; MRV; STIR; T2 STIR; CISS; FIESTA; T2 TRUFI; PD; pd_tse
        PD/T2; T2 PD; dual echo
        T1 MTC; T1 MT; mp2rage_INV1; T1_RAGE INV2; T1 dixon opp; T1 dixon in; T1 dixon F; T1 dixon fat
        t1 vibe in-phase; T1 out of phase
        synthetic T1; SyMRI T2; MAGiC T1; T1 C-SPINE; T2 HWS; LWS T1; t2_tse_sag_spine; cervical T1; T2 thoracic
        T1 neck; T2 colonna; T1 rachis
        T2 columna lumbar; T2 abdomen; knee T1; T2 Wirbelsäule; csf_mask; wm_seg; aseg; T2 relaxometry; svs_se_30
        CSI; field map; sub-01_T2star
        sub-01_part-phase_T2w; T1 inv-1; sub-01_inv-1_MP2RAGE; DIR; PSIR; B0 map; scout; localizer; survey
        T2 SAG C-SP; synT1; T1 MTC tra; wash in T1; T1 first pass
    """,
    RawRole.SEGMENTATION: """
        seg; tumor_mask; t1_label; ROI; tumour; lesion_mask; Segmentation; tumorseg; tumor_seg; lesion; GTV
        T1_seg; flair_segmentation; whole tumor
        groundtruth; ground truth; tumor_segmentation; dseg; sub-01_label-tumor_mask; roi_final; tumeur_masque
        labelmap; lesion_mask_reg
    """,
    RawRole.BRAIN_MASK: """
        brain_mask; t1_brain_mask; mask; brainmask; bet_mask; MASKreg; mask_final; hd-bet_mask
        sub-01_desc-brain_mask; Maske; skull strip mask
    """,
}
CASES = [
    pytest.param(name.strip(), role, id=f"{role}: {name.strip()}")
    for role, text in PLAIN.items()
    for line in text.strip().splitlines()
    for name in line.split(";")
]


def test_the_panel_is_large() -> None:
    assert len({case.values[0] for case in CASES}) == len(CASES) >= 400


@pytest.mark.parametrize(("name", "role"), CASES)
def test_plain_names_have_one_role(name: str, role: RawRole) -> None:
    assert read_name(name).roles == {role}


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("T1 FLAIR", "flair t1"),
        ("AX T1 FLAIR +C", "flair t1ce"),
        ("t1_t2", "t1 t2"),
        ("T1 pre and post", "t1 t1ce"),
        ("T1 with and without C", "t1 t1ce"),
        ("T1 w/wo contrast", "t1 t1ce"),
        ("T1 W & W/O", "t1 t1ce"),
        ("T1 +/- C", "t1 t1ce"),
        ("T1 pre post Gd", "t1 t1ce"),
        ("T1 sans et avec gado", "t1 t1ce"),
        ("T1 ohne und mit KM", "t1 t1ce"),
        ("T1 c", "t1 t1ce"),
        ("cT1w", "t1 t1ce"),
        ("T1 post 3 months", "t1 t1ce"),
        ("T1 post 24h", "t1 t1ce"),
        ("T1 post day 2", "t1 t1ce"),
        ("T1+", "t1 t1ce"),
        ("T1 -GAD", "t1 t1ce"),
        ("T1 tra - KM", "t1 t1ce"),
        ("T1 mit", "t1 t1ce"),
        ("T1 wwo", "t1 t1ce"),
        ("t1_k", "t1 t1ce"),
        ("T1 S-CIV", "t1 t1ce"),
        ("T1 xkontrast", "t1 t1ce"),
        ("T1 MTC KM", "other t1ce"),
        ("vessel_mask", "brain_mask seg"),
        ("T1xyz", "t1 t1ce"),
        ("ce-unknown_T1w", "t1 t1ce"),
        ("t2_tirm_tra", "flair other t2"),
        ("tirm cor", "flair other"),
        ("T2 IR", "flair other t2"),
        ("T2 e1", "other t2"),
        ("T2 echo 1", "other t2"),
        ("sub-01_echo-2_T2w", "other t2"),
        ("t2s", "other t2"),
        ("T1 fat", "other t1"),
        ("T1 mask", "brain_mask t1"),
        ("brain_segmentation", "brain_mask seg"),
        ("brain_seg", "brain_mask seg"),
    ],
)
def test_names_that_can_be_read_in_several_ways_have_all_roles(name: str, roles: str) -> None:
    assert read_name(name).roles == set(roles.split())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "scan_7",
        "post gad",
        "t10",
        "AXIAL",
        "image(1)",
        "sub-07",
        "sub-07_ses-02",
        "T12",
        "Brain Tumor Study",
        "anat",
        "ses-T1",
        "series 3",
        "surface",
        "since",
        "MPR",
    ],
)
def test_names_that_say_nothing_have_no_role(name: str) -> None:
    assert read_name(name).roles == frozenset()


@pytest.mark.parametrize("name", ["post gad", "KM", "after contrast", "nativ", "ohne KM"])
def test_contrast_agent_is_heard_without_a_weighting(name: str) -> None:
    assert read_name(name).contrast == ({RawRole.T1} if name in ("nativ", "ohne KM") else {RawRole.T1CE})


@pytest.mark.parametrize("name", ["T1", "t1_mprage", "T1 post-op", "T1 FOV 24 cm", "T1 non-FS", "eT1W_SE"])
def test_a_t1_without_a_word_of_contrast_agent_may_have_had_some(name: str) -> None:
    assert read_name(name).silent_t1
    assert read_name(name).possible == {RawRole.T1, RawRole.T1CE}


@pytest.mark.parametrize(
    "name", ["t1" * 100_000, "post " * 100_000, "a" * 100_000 + "_T1", "sub-" * 100_000, "+/-" * 100_000]
)
def test_a_name_that_nobody_could_have_given_is_read_all_the_same(name: str) -> None:
    assert read_name(name).roles <= set(RawRole)


@pytest.mark.parametrize("name", ["t1ce", "T1CE", " T1ce ", "t1c", "T1Gd", "t1post"])
def test_a_modality_is_found_by_what_people_call_it(name: str) -> None:
    assert modality_called(name, FOUR_MODALITIES) is Modality.T1CE


@pytest.mark.parametrize("name", ["", "T9", "T2star", "seg", "t1 c?"])
def test_what_is_no_modality_or_could_be_several_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ValueError, match="choose one of flair, t1, t1ce, t2"):
        modality_called(name, FOUR_MODALITIES)


def test_a_name_of_another_set_comes_before_what_people_call_the_four() -> None:
    assert modality_called("T1C", ModalitySet(["t1", "t1c"])) == "t1c"
